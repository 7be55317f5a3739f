// SPDX-License-Identifier: Apache-2.0
// The kernel futex, private to the process: how Ms (never ordinary Gs) sleep. Where a filter refuses it the process
// ends, as libc's ends it ("The futex facility returned an unexpected error code").
#pragma once

#include <linux/futex.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "runtime/os/confined.h"
#include "runtime/os/syscall.h"

namespace mn {

// Ends the process if no call is let through. What was refused may have been another: where a signal came that has no
// handler, the kernel goes on with a wait by restart_syscall(2).
inline void futex_must_work() {
  static constinit std::atomic<uint32_t> none{0};
  if (refused(raw_syscall(SYS_futex, sys_arg(&none), FUTEX_WAIT_PRIVATE, 1)))  // else EAGAIN, at once
    fatal("futex is refused: threads cannot wait", "os/futex.h");
}

inline long futex_call(std::atomic<uint32_t>* word, int operation, long value, long until = 0, long bits = 0) {
  long result = raw_syscall(SYS_futex, sys_arg(word), operation, value, until, 0, bits);
  if (MN_UNLIKELY(refused(result))) futex_must_work();
  return result;
}

// Sleeps while *word == expected, at most until `deadline_ns` of CLOCK_MONOTONIC (negative: for ever). Returns 0,
// EAGAIN (the word differed), EINTR, ETIMEDOUT, or what a filter says to restart_syscall; 0 may be spurious.
inline int futex_wait(std::atomic<uint32_t>* word, uint32_t expected, int64_t deadline_ns = -1) {
  timespec ts{};
  if (deadline_ns >= 0) ts = {deadline_ns / 1000000000, deadline_ns % 1000000000};
  return static_cast<int>(-futex_call(word, FUTEX_WAIT_BITSET_PRIVATE, static_cast<long>(expected),
                                      deadline_ns >= 0 ? sys_arg(&ts) : 0, -1));
}

inline void futex_wake(std::atomic<uint32_t>* word, int count = 1) {
  futex_call(word, FUTEX_WAKE_PRIVATE, count);
}

}  // namespace mn
