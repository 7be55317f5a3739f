// SPDX-License-Identifier: Apache-2.0
// Time in nanoseconds as int64_t (292 years). Deadlines inside the runtime are of kOwnClock; kForever never comes.
#pragma once

#include <time.h>

#include <cstdint>

#include "runtime/os/real.h"
#include "runtime/os/syscall.h"

namespace mn {

constexpr int64_t kForever = INT64_MAX;
constexpr int64_t kNsPerSec = 1000000000;

// CLOCK_MONOTONIC as libc has it, which may not be what the program has (Real::libcs_clock_gettime).
constexpr clockid_t kOwnClock = -1;  // a CPU clock that there is not

inline int64_t now_ns() {
  timespec ts;
  real.libcs_clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * kNsPerSec + ts.tv_nsec;
}

// As the program has it.
inline int64_t clock_ns(clockid_t clock) {
  if (clock == kOwnClock) return now_ns();
  timespec ts;
  real.clock_gettime(clock, &ts);
  return ts.tv_sec * kNsPerSec + ts.tv_nsec;
}

inline bool is_own_clock(clockid_t clock) {
  return clock == kOwnClock || (clock == CLOCK_MONOTONIC && real.clock_gettime == real.libcs_clock_gettime);
}

// As the kernel has it, past the shim: what a thread's CPU clock says is the kernel thread's. -1: no such thread.
inline int64_t kernel_clock_ns(clockid_t clock) {
  timespec ts;
  if (raw_syscall(SYS_clock_gettime, clock, sys_arg(&ts)) != 0) return -1;
  return ts.tv_sec * kNsPerSec + ts.tv_nsec;
}

// The CPU time of one kernel thread of this process, as pthread_getcpuclockid builds it (CPUCLOCK_SCHED).
inline clockid_t thread_cpu_clock(int ktid) {
  return static_cast<clockid_t>((~static_cast<unsigned>(ktid) << 3) | 6u);
}

inline bool valid_timespec(const timespec& ts) {
  return ts.tv_nsec >= 0 && ts.tv_nsec < kNsPerSec;
}

// Saturates at kForever; negative times become 0, which has long passed.
inline int64_t timespec_ns(const timespec& ts) {
  if (ts.tv_sec < 0) return 0;
  int64_t ns;
  if (__builtin_mul_overflow(int64_t{ts.tv_sec}, kNsPerSec, &ns) || __builtin_add_overflow(ns, ts.tv_nsec, &ns))
    return kForever;
  return ns;
}

inline timespec ns_timespec(int64_t ns) {
  return {ns / kNsPerSec, ns % kNsPerSec};
}

// An absolute time on a clock, which a program may have named. CLOCK_REALTIME can be set, and what another library
// makes of a clock can jump: they must be looked at again when their image on the runtime's own expires.
struct Deadline {
  clockid_t clock = kOwnClock;
  int64_t at = kForever;  // ns on `clock`

  bool never() const { return at == kForever; }
  bool passed() const { return !never() && clock_ns(clock) >= at; }
  // When to look again, on kOwnClock.
  int64_t monotonic() const {
    if (never() || is_own_clock(clock)) return at;
    int64_t left = at - clock_ns(clock);
    int64_t base = now_ns();
    int64_t sum;
    if (left <= 0) return base;
    return __builtin_add_overflow(base, left, &sum) ? kForever : sum;
  }
};

}  // namespace mn
