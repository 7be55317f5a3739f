// SPDX-License-Identifier: Apache-2.0
// How a shim is written: C linkage, exported, and the real function when the runtime does not serve the call. A shim
// translates arguments and errors; it keeps no state and decides nothing.
#pragma once

#include <errno.h>

#include "runtime/base/check.h"
#include "runtime/init/init.h"
#include "runtime/os/real.h"
#include "runtime/sched/g.h"

#define MN_SHIM extern "C" MN_EXPORT
// A second name for an exported function. An asm label, for headers may redirect the second name (pthread_yield).
#define MN_ALIAS(second, first) \
  extern "C" MN_EXPORT decltype(::first) mn_also_##second __asm__(#second) __attribute__((alias(#first), copy(first)))

namespace mn {

// The same of calls that are about what the kernel keeps for a process or a thread.
inline bool on_here() {
  return on() && !in_vfork_child();
}

// For the functions that set errno: 0, or -1 with errno.
inline int errno_result(int error) {
  if (error == 0) return 0;
  errno = error;
  return -1;
}

inline bool valid_clock(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

}  // namespace mn
