// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/cond.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/wait.h"

using namespace mn;

MN_SHIM MN_FLATTEN int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
  return on() && !cond_is_libcs(c) ? wait_cond(c, m, Deadline{}) : real.pthread_cond_wait(c, m);
}
MN_SHIM int pthread_cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* abstime) {
  if (!on() || cond_is_libcs(c)) return real.pthread_cond_timedwait(c, m, abstime);
  return valid_timespec(*abstime) ? wait_cond(c, m, Deadline{cond_clock(c), timespec_ns(*abstime)}) : EINVAL;
}
MN_SHIM int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* abstime) {
  if (!on() || cond_is_libcs(c)) return real.pthread_cond_clockwait(c, m, clock, abstime);
  if (!valid_timespec(*abstime) || !valid_clock(clock)) return EINVAL;
  return wait_cond(c, m, Deadline{clock, timespec_ns(*abstime)});
}
MN_SHIM int pthread_cond_signal(pthread_cond_t* c) {
  if (!on() || cond_is_libcs(c)) return real.pthread_cond_signal(c);
  cond_signal(c);
  return 0;
}
MN_SHIM int pthread_cond_broadcast(pthread_cond_t* c) {
  if (!on() || cond_is_libcs(c)) return real.pthread_cond_broadcast(c);
  cond_broadcast(c);
  return 0;
}
MN_SHIM int pthread_cond_destroy(pthread_cond_t* c) {
  return on() && !cond_is_libcs(c) ? 0 : real.pthread_cond_destroy(c);
}
