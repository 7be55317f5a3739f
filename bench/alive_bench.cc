// SPDX-License-Identifier: Apache-2.0
// Measures many threads alive at once, each in pthread_cond_wait: time and memory per thread.
//
// Memory is what the process gained in VmRSS and VmPTE; a kernel thread's own stack and structures
// (about 24 kB) are in neither, the counter kernel_threads says how many there were. Memory that
// earlier rows left behind for reuse is not counted again, so run this row in its own process, as
// run.py does.
#include <cstdlib>
#include <string>
#include <vector>

#include "bench.h"

namespace bench {
namespace {

struct Crowd {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
  pthread_cond_t leave = PTHREAD_COND_INITIALIZER;
  size_t waiting = 0;
  size_t expected = 0;
  bool over = false;
};

void* wait_in_crowd(void* arg) {
  auto* crowd = static_cast<Crowd*>(arg);
  pthread_mutex_lock(&crowd->lock);
  if (++crowd->waiting == crowd->expected) pthread_cond_signal(&crowd->arrived);
  while (!crowd->over) pthread_cond_wait(&crowd->leave, &crowd->lock);
  pthread_mutex_unlock(&crowd->lock);
  return nullptr;
}

int64_t memory_kb() {
  return proc_status("VmRSS") + proc_status("VmPTE");
}

// Creates the threads and waits until the last of them waits, then sends them home and joins them.
// The time is from the first pthread_create to the last thread's wait, per thread.
void alive(benchmark::State& state) {
  const int64_t threads = state.range(0);
  const int64_t stack_kib = state.range(1);
  std::vector<pthread_t> ids(static_cast<size_t>(threads));
  const int64_t kb_before = memory_kb();
  if (const std::string why = cannot_have(threads); !why.empty()) {
    state.SkipWithError(why.c_str());
  }
  const double per_thread = 1.0 / static_cast<double>(threads);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  if (stack_kib > 0) pthread_attr_setstacksize(&attr, static_cast<size_t>(stack_kib) * 1024);

  while (state.KeepRunningBatch(threads)) {
    Crowd crowd;
    crowd.expected = ids.size();
    const int64_t start = now_ns();
    size_t made = 0;
    while (made < ids.size() && pthread_create(&ids[made], &attr, wait_in_crowd, &crowd) == 0) {
      made++;
    }
    pthread_mutex_lock(&crowd.lock);
    while (made == ids.size() && crowd.waiting < made) {
      pthread_cond_wait(&crowd.arrived, &crowd.lock);
    }
    const int64_t all_wait = now_ns();
    const int64_t kb = memory_kb() - kb_before;
    const int64_t kernel_threads = proc_status("Threads");
    const int64_t end_start = now_ns();
    crowd.over = true;
    pthread_cond_broadcast(&crowd.leave);
    pthread_mutex_unlock(&crowd.lock);
    for (size_t i = 0; i < made; i++) pthread_join(ids[i], nullptr);
    const int64_t end = now_ns();
    if (made < ids.size()) {
      const std::string error = "cannot: pthread_create failed after " + std::to_string(made) + " threads";
      state.SkipWithError(error.c_str());
      break;
    }
    state.SetIterationTime(static_cast<double>(all_wait - start) * 1e-9);
    state.counters["bytes_per_thread"] = static_cast<double>(kb) * 1024 * per_thread;
    state.counters["wake_join_ns"] = static_cast<double>(end - end_start) * per_thread;
    state.counters["kernel_threads"] = static_cast<double>(kernel_threads);
  }
  pthread_attr_destroy(&attr);
}

// BENCH_ALIVE replaces the numbers of threads by one of the caller's choice.
void alive_sizes(benchmark::internal::Benchmark* row) {
  row->ArgNames({"threads", "stack_kib"});  // 0: the default stack
  const char* wanted = std::getenv("BENCH_ALIVE");
  if (const int64_t threads = wanted != nullptr ? std::atoll(wanted) : 0; threads > 0) {
    row->Args({threads, 0});
    return;
  }
  row->Args({10'000, 0})->Args({100'000, 0})->Args({1'000'000, 64});
}
BENCHMARK(alive)->Name("alive")->Apply(alive_sizes)->Iterations(1)->MeasureProcessCPUTime()->UseManualTime();

}  // namespace
}  // namespace bench
