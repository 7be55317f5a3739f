// SPDX-License-Identifier: Apache-2.0
// Waits that POSIX and C11 names share. errno values. They are cancellation points.
#pragma once

#include "runtime/init/init.h"
#include "runtime/sync/cond.h"
#include "runtime/sync/interrupt.h"
#include "runtime/sync/mutex.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/thread.h"

namespace mn {

// The mutex is held again when a cancellation acts.
inline int wait_cond(pthread_cond_t* c, pthread_mutex_t* m, const Deadline& deadline) {
  if (MN_UNLIKELY(mutex_is_anothers(m))) return EPERM;  // as libc, which then is no cancellation point
  cancellation_point();
  cancel_hold();
  int error = cond_wait(c, m, deadline);
  cancel_release();
  if (MN_LIKELY(error != EINTR)) return error;
  cancellation_point();
  return 0;
}

// Sleeps until `deadline`; 0, or EINTR with what is left in *left (ns).
inline int sleep_until(const Deadline& deadline, int64_t* left) {
  cancellation_point();
  for (;;) {
    Interruption interruption(this_g());
    int error = thread_sleep(deadline);
    cancellation_point();
    if (error != EINTR) return 0;
    if (interruption.ends_wait(false)) break;
  }
  int64_t now = clock_ns(deadline.clock);
  *left = deadline.at > now ? deadline.at - now : 0;
  return EINTR;
}

// On kOwnClock; kForever - 1 when the sum overflows.
inline Deadline after(int64_t ns) {
  int64_t at;
  if (__builtin_add_overflow(now_ns(), ns, &at)) at = kForever - 1;
  return {kOwnClock, at};
}

// *remaining (may be null) is written on EINTR only, as nanosleep does.
inline int sleep_for(const timespec& request, timespec* remaining) {
  int64_t left = 0;
  int error = sleep_until(after(timespec_ns(request)), &left);
  if (error == EINTR && remaining != nullptr) *remaining = ns_timespec(left);
  return error;
}

// Whether the caller is scheduled by us; everyone else sleeps in the kernel.
inline bool scheduled() {
  return on() && this_g() != nullptr && !this_g()->wired;
}

inline bool valid_sleep(const timespec* t) {
  return t != nullptr && valid_timespec(*t) && t->tv_sec >= 0;
}

}  // namespace mn
