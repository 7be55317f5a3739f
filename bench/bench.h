// SPDX-License-Identifier: Apache-2.0
// What the thread benchmarks share: spawning, a crew that starts together, calibrated work, limits.
//
// The benchmarks are plain pthread programs that know nothing of libmn: the same binary runs on
// libc's threads and, with LD_PRELOAD, on user-level threads. Google Benchmark stays on the main
// thread. Rows are named as in targets.csv.
#ifndef LIBMN_BENCH_BENCH_H_
#define LIBMN_BENCH_BENCH_H_

#include <benchmark/benchmark.h>
#include <pthread.h>

#include <cstdint>
#include <functional>
#include <string>

namespace bench {

int64_t now_ns();

// Work for the CPU alone: no system call, no clock. A work's result is the seed of the thread's
// next, or else the CPU would overlap the two.
inline uint64_t spin(uint64_t seed, int64_t loops) {
  for (int64_t i = 0; i < loops; i++) {
    seed *= 0x9E3779B97F4A7C15u;
    asm volatile("" : "+r"(seed));  // one dependent multiplication a loop, whatever the compiler
  }
  return seed;
}

// How many loops of spin() take about `ns` on this CPU.
int64_t loops_for_ns(int64_t ns);

// A field of /proc/self/status ("VmRSS", "VmPTE", "Threads"); sizes in kB. -1 if there is none.
int64_t proc_status(const char* field);

// An empty string if `threads` of them may live at once, or the reason why not ("cannot: …", or
// "skipped: …" for want of memory). libc's threads are kernel threads and use at most half of what
// the machine allows, so that others can still work.
std::string cannot_have(int64_t threads);

// As many of `wanted` threads as may live at once.
int64_t at_most(int64_t wanted);

// Runs body(0) .. body(threads - 1), each on a thread of its own, all let go at the same time.
// Returns the nanoseconds from the first start to the last end, or -1 if a thread could not be
// created (then no body has run).
int64_t run_crew(int threads, const std::function<void(int)>& body);

// A benchmark whose iteration is one operation of a crew: body(index, n) does n operations and
// every thread does at least `least` of them. `threads_per_op` is how many threads take part in one
// operation (two in a round trip). Register it with UseManualTime(). The counter kernel_switches is
// how often the kernel switched threads per operation.
void crew_benchmark(benchmark::State& state, int threads, int threads_per_op, int64_t least,
                    const std::function<void(int, int64_t)>& body);

}  // namespace bench

#endif  // LIBMN_BENCH_BENCH_H_
