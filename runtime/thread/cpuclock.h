// SPDX-License-Identifier: Apache-2.0
// Clocks that count the CPU time of threads. A clock is named as the kernel names a thread's, by its number (clock.h),
// which for a G is one that no kernel thread has (kFakeTidBase).
#pragma once

#include <pthread.h>
#include <time.h>

#include "runtime/sched/g.h"

namespace mn {

// 0 or ESRCH.
int thread_cpuclock(pthread_t t, clockid_t* clock);

// The G that the clock counts; null: another kind of clock, a kernel thread's, or of a thread that has ended.
G* cpuclock_g(clockid_t clock);

// The clock counts the calling thread, under one of its names. The kernel knows CLOCK_THREAD_CPUTIME_ID.
bool is_own_cpu_clock(clockid_t clock);

// Counts CPU time of a thread or a process: all others are the kernel's at once.
constexpr bool is_cpu_clock(clockid_t clock) {
  return clock < 0 || clock == CLOCK_THREAD_CPUTIME_ID;
}

}  // namespace mn
