// SPDX-License-Identifier: Apache-2.0
// Time in nanoseconds as int64_t (292 years). Deadlines inside the runtime are CLOCK_MONOTONIC; kForever never comes.
#pragma once

#include <time.h>

#include <cstdint>

#include "runtime/os/real.h"
#include "runtime/os/syscall.h"

namespace mn {

constexpr int64_t kForever = INT64_MAX;
constexpr int64_t kNsPerSec = 1000000000;

inline int64_t clock_ns(clockid_t clock) {
  timespec ts;
  real.clock_gettime(clock, &ts);
  return ts.tv_sec * kNsPerSec + ts.tv_nsec;
}

inline int64_t now_ns() {
  return clock_ns(CLOCK_MONOTONIC);
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

// An absolute time on a clock that a program named. Only CLOCK_REALTIME can be set, so that one must be looked at again
// when its monotonic image expires.
struct Deadline {
  clockid_t clock = CLOCK_MONOTONIC;
  int64_t at = kForever;  // ns on `clock`

  bool never() const { return at == kForever; }
  bool passed() const { return !never() && clock_ns(clock) >= at; }
  // When to look again, on CLOCK_MONOTONIC.
  int64_t monotonic() const {
    if (never() || clock == CLOCK_MONOTONIC) return at;
    int64_t left = at - clock_ns(clock);
    int64_t base = now_ns();
    int64_t sum;
    if (left <= 0) return base;
    return __builtin_add_overflow(base, left, &sum) ? kForever : sum;
  }
};

}  // namespace mn
