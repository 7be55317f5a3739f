// SPDX-License-Identifier: Apache-2.0
// How a shim of a call that may block chooses: the runtime serves it, or libc's function is called.
#pragma once

#include <errno.h>

#include "runtime/io/transfer.h"
#include "runtime/sched/sched.h"
#include "shim/wait.h"

namespace mn {

// -errno as libc's functions say it.
inline long errno_of(long result) {
  if (MN_LIKELY(result >= 0)) return result;
  errno = static_cast<int>(-result);
  return -1;
}

// `ours` returns a result, -errno, or kUnpollable: let libc's function make the call.
template <class Ours, class Libcs>
MN_INLINE long served(Ours ours, Libcs libcs) {
  if (!scheduled()) return libcs();
  long result = ours();
  result = MN_UNLIKELY(result == kUnpollable) ? libcs() : errno_of(result);
  preempt_point();
  return result;
}

}  // namespace mn
