// SPDX-License-Identifier: Apache-2.0
// Measures going from one thread to another: yield, ping-pong over each primitive, barriers.
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <vector>

#include "bench.h"

namespace bench {
namespace {

// Every thread yields and does nothing else; time per yield.
void yield(benchmark::State& state) {
  crew_benchmark(state, static_cast<int>(state.range(0)), 1, 100, [](int, int64_t n) {
    for (int64_t i = 0; i < n; i++) sched_yield();
  });
}
BENCHMARK(yield)->Name("yield")->ArgName("threads")->Arg(2)->Arg(1'000)->MeasureProcessCPUTime()->UseManualTime();

// Two threads take turns: one mutex, one condition variable each, signalled under the lock.
void condvar_pingpong(benchmark::State& state) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t turned[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
  int turn = 0;
  crew_benchmark(state, 2, 2, 1'000, [&](int me, int64_t n) {
    pthread_mutex_lock(&lock);
    for (int64_t i = 0; i < n; i++) {
      while (turn != me) pthread_cond_wait(&turned[me], &lock);
      turn = 1 - me;
      pthread_cond_signal(&turned[1 - me]);
    }
    pthread_mutex_unlock(&lock);
  });
}
BENCHMARK(condvar_pingpong)->Name("condvar_pingpong")->MeasureProcessCPUTime()->UseManualTime();

// Two threads take turns: each waits on its own semaphore and posts the other's.
void sem_pingpong(benchmark::State& state) {
  sem_t turn[2];
  sem_init(&turn[0], 0, 1);
  sem_init(&turn[1], 0, 0);
  crew_benchmark(state, 2, 2, 1'000, [&](int me, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      sem_wait(&turn[me]);
      sem_post(&turn[1 - me]);
    }
  });
  sem_destroy(&turn[0]);
  sem_destroy(&turn[1]);
}
BENCHMARK(sem_pingpong)->Name("sem_pingpong")->MeasureProcessCPUTime()->UseManualTime();

// Two threads take turns by raw futexes: each waits on its own word and wakes who waits on the other's.
void futex_pingpong(benchmark::State& state) {
  std::atomic<uint32_t> turn[2] = {1, 0};
  crew_benchmark(state, 2, 2, 1'000, [&](int me, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      while (turn[me].exchange(0) == 0) syscall(SYS_futex, &turn[me], FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
      turn[1 - me] = 1;
      syscall(SYS_futex, &turn[1 - me], FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
  });
}
BENCHMARK(futex_pingpong)->Name("futex_pingpong")->MeasureProcessCPUTime()->UseManualTime();

// Two threads walk round a ring of three mutexes hand over hand (lock the next, unlock the last):
// each step needs the other's, and every mutex is unlocked by the thread that locked it. Time per
// step of both.
void mutex_pingpong(benchmark::State& state) {
  pthread_mutex_t ring[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
  pthread_barrier_t placed;
  pthread_barrier_init(&placed, nullptr, 2);
  crew_benchmark(state, 2, 2, 1'000, [&](int me, int64_t n) {
    int at = me;
    pthread_mutex_lock(&ring[at]);
    pthread_barrier_wait(&placed);
    for (int64_t i = 0; i < n; i++) {
      const int next = (at + 1) % 3;
      pthread_mutex_lock(&ring[next]);
      pthread_mutex_unlock(&ring[at]);
      at = next;
    }
    pthread_mutex_unlock(&ring[at]);
  });
  pthread_barrier_destroy(&placed);
}
BENCHMARK(mutex_pingpong)->Name("mutex_pingpong")->MeasureProcessCPUTime()->UseManualTime();

// All threads meet at a barrier, round after round; time per pthread_barrier_wait.
void barrier(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  pthread_barrier_t meet;
  pthread_barrier_init(&meet, nullptr, static_cast<unsigned>(threads));
  crew_benchmark(state, threads, 1, 100, [&](int, int64_t n) {
    for (int64_t i = 0; i < n; i++) pthread_barrier_wait(&meet);
  });
  pthread_barrier_destroy(&meet);
}
BENCHMARK(barrier)->Name("barrier")->ArgName("threads")->Arg(2)->Arg(100)->MeasureProcessCPUTime()->UseManualTime();

}  // namespace
}  // namespace bench
