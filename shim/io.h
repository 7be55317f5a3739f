// SPDX-License-Identifier: Apache-2.0
// How a shim of a call that may block chooses: the runtime serves it, or libc's function is called.
#pragma once

#include <errno.h>

#include "runtime/io/block.h"
#include "runtime/io/transfer.h"
#include "runtime/os/confined.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/raised.h"
#include "shim/wait.h"

namespace mn {

// -errno as libc's functions say it.
inline long errno_of(long result) {
  if (MN_LIKELY(result >= 0)) return result;
  errno = static_cast<int>(-result);
  return -1;
}

// Where there is no asking for readiness the call is bound to block its M. A refusal may be of a call of ours.
template <class Libcs>
MN_NOINLINE long left_to_libc(Libcs libcs) {
  return may_use(kReadiness) ? libcs() : errno_of(blocking(libcs));
}

// All such calls but sendfile are cancellation points. `ours` returns a result, -errno, or kUnpollable: let libc's
// function make the call.
enum class Point { kCancels, kNot };
template <Point point = Point::kCancels, class Ours, class Libcs>
MN_INLINE long served(Ours ours, Libcs libcs) {
  if (!scheduled()) return libcs();
  if (point == Point::kCancels && MN_UNLIKELY(this_g()->cancelled.load(std::memory_order_relaxed)))
    cancellation_point();
  long result = may_use(kReadiness) ? ours() : kUnpollable;
  if (MN_UNLIKELY(result == kUnpollable || refused(result))) {
    result = left_to_libc(libcs);
    if (MN_UNLIKELY(result == -1)) raised_by(-errno);
  } else {
    result = errno_of(result);
  }
  if (point == Point::kCancels && MN_UNLIKELY(this_g()->cancelled.load(std::memory_order_relaxed)))
    cancellation_point_after(result);
  preempt_point();
  return result;
}

}  // namespace mn
