// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/rwlock.h"
#include "runtime/thread/wire.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// libc keeps the writer's thread id in a shared lock and compares it with the caller's.
pthread_rwlock_t* kernels(pthread_rwlock_t* l) {
  if (on()) thread_wire();
  return l;
}

// glibc looks at the time only when it has to wait, but at its validity always.
template <class Lock>
int timed(Lock lock, pthread_rwlock_t* l, clockid_t clock, const timespec* abstime) {
  if (!valid_timespec(*abstime) || !valid_clock(clock)) return EINVAL;
  return lock(l, Deadline{clock, timespec_ns(*abstime)});
}

}  // namespace

MN_SHIM MN_PREEMPTIBLE int pthread_rwlock_rdlock(pthread_rwlock_t* l) {
  return on() && !rwlock_is_libcs(l) ? rwlock_rdlock(l, Deadline{}) : real.pthread_rwlock_rdlock(kernels(l));
}
MN_SHIM MN_PREEMPTIBLE int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) {
  return on() && !rwlock_is_libcs(l) ? rwlock_tryrdlock(l) : real.pthread_rwlock_tryrdlock(kernels(l));
}
MN_SHIM int pthread_rwlock_timedrdlock(pthread_rwlock_t* l, const timespec* abstime) {
  return on() && !rwlock_is_libcs(l) ? timed(rwlock_rdlock, l, CLOCK_REALTIME, abstime)
                                     : real.pthread_rwlock_timedrdlock(kernels(l), abstime);
}
MN_SHIM int pthread_rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* abstime) {
  return on() && !rwlock_is_libcs(l) ? timed(rwlock_rdlock, l, clock, abstime)
                                     : real.pthread_rwlock_clockrdlock(kernels(l), clock, abstime);
}
MN_SHIM MN_PREEMPTIBLE int pthread_rwlock_wrlock(pthread_rwlock_t* l) {
  return on() && !rwlock_is_libcs(l) ? rwlock_wrlock(l, Deadline{}) : real.pthread_rwlock_wrlock(kernels(l));
}
MN_SHIM MN_PREEMPTIBLE int pthread_rwlock_trywrlock(pthread_rwlock_t* l) {
  return on() && !rwlock_is_libcs(l) ? rwlock_trywrlock(l) : real.pthread_rwlock_trywrlock(kernels(l));
}
MN_SHIM int pthread_rwlock_timedwrlock(pthread_rwlock_t* l, const timespec* abstime) {
  return on() && !rwlock_is_libcs(l) ? timed(rwlock_wrlock, l, CLOCK_REALTIME, abstime)
                                     : real.pthread_rwlock_timedwrlock(kernels(l), abstime);
}
MN_SHIM int pthread_rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* abstime) {
  return on() && !rwlock_is_libcs(l) ? timed(rwlock_wrlock, l, clock, abstime)
                                     : real.pthread_rwlock_clockwrlock(kernels(l), clock, abstime);
}
MN_SHIM MN_PREEMPTIBLE int pthread_rwlock_unlock(pthread_rwlock_t* l) {
  return on() && !rwlock_is_libcs(l) ? rwlock_unlock(l) : real.pthread_rwlock_unlock(l);
}
MN_SHIM int pthread_rwlock_destroy(pthread_rwlock_t* l) {
  return on() && !rwlock_is_libcs(l) ? 0 : real.pthread_rwlock_destroy(l);
}

MN_ALIAS(__pthread_rwlock_rdlock, pthread_rwlock_rdlock);
MN_ALIAS(__pthread_rwlock_tryrdlock, pthread_rwlock_tryrdlock);
MN_ALIAS(__pthread_rwlock_wrlock, pthread_rwlock_wrlock);
MN_ALIAS(__pthread_rwlock_trywrlock, pthread_rwlock_trywrlock);
MN_ALIAS(__pthread_rwlock_unlock, pthread_rwlock_unlock);
MN_ALIAS(__pthread_rwlock_destroy, pthread_rwlock_destroy);
