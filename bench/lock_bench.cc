// SPDX-License-Identifier: Apache-2.0
// Measures locks: a pair without contention, and one mutex that many threads want.
#include "bench.h"

namespace bench {
namespace {

// The uncontended rows run on a second thread: with only one in the process libc leaves out the
// atomic instructions.

// pthread_mutex_lock and pthread_mutex_unlock; time per pair.
void mutex_uncontended(benchmark::State& state) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  crew_benchmark(state, 1, 1, 10'000, [&](int, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      pthread_mutex_lock(&lock);
      pthread_mutex_unlock(&lock);
    }
  });
}
BENCHMARK(mutex_uncontended)->Name("mutex_uncontended")->MeasureProcessCPUTime()->UseManualTime();

// pthread_rwlock_rdlock and pthread_rwlock_unlock; time per pair.
void rwlock_read_uncontended(benchmark::State& state) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  crew_benchmark(state, 1, 1, 10'000, [&](int, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      pthread_rwlock_rdlock(&lock);
      pthread_rwlock_unlock(&lock);
    }
  });
}
BENCHMARK(rwlock_read_uncontended)->Name("rwlock_read_uncontended")->MeasureProcessCPUTime()->UseManualTime();

// pthread_rwlock_wrlock and pthread_rwlock_unlock; time per pair.
void rwlock_write_uncontended(benchmark::State& state) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  crew_benchmark(state, 1, 1, 10'000, [&](int, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      pthread_rwlock_wrlock(&lock);
      pthread_rwlock_unlock(&lock);
    }
  });
}
BENCHMARK(rwlock_write_uncontended)->Name("rwlock_write_uncontended")->MeasureProcessCPUTime()->UseManualTime();

// Every thread works 100 ns with the mutex and 100 ns without; time per turn of any thread. On one
// CPU it cannot be less than 200 ns, on two or more not less than 100 ns.
void mutex_contended(benchmark::State& state) {
  const int64_t work = loops_for_ns(100);
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  int64_t turns = 0;
  int64_t expected = 0;
  const int threads = static_cast<int>(state.range(0));
  crew_benchmark(state, threads, 1, 100, [&](int me, int64_t n) {
    if (me == 0) expected = n * threads;
    uint64_t x = 1;
    for (int64_t i = 0; i < n; i++) {
      pthread_mutex_lock(&lock);
      turns++;
      x = spin(x, work);
      pthread_mutex_unlock(&lock);
      x = spin(x, work);
    }
  });
  if (turns != expected) state.SkipWithError("wrong result: two threads held the mutex");
}
BENCHMARK(mutex_contended)
    ->Name("mutex_contended")
    ->ArgName("threads")
    ->Arg(2)
    ->Arg(1'000)
    ->MeasureProcessCPUTime()
    ->UseManualTime();

}  // namespace
}  // namespace bench
