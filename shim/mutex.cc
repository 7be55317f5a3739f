// SPDX-License-Identifier: Apache-2.0
#include "shim/shim.h"
#include "runtime/sync/mutex.h"

using namespace mn;

MN_SHIM int pthread_mutex_lock(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_lock(m) : real.pthread_mutex_lock(m);
}
MN_SHIM int pthread_mutex_trylock(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_trylock(m) : real.pthread_mutex_trylock(m);
}
MN_SHIM int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* abstime) {
  return on() && !mutex_is_libcs(m) ? mutex_timedlock(m, CLOCK_REALTIME, abstime)
                                    : real.pthread_mutex_timedlock(m, abstime);
}
MN_SHIM int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* abstime) {
  if (!on() || mutex_is_libcs(m)) return real.pthread_mutex_clocklock(m, clock, abstime);
  return valid_clock(clock) ? mutex_timedlock(m, clock, abstime) : EINVAL;
}
MN_SHIM int pthread_mutex_unlock(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_unlock(m) : real.pthread_mutex_unlock(m);
}
MN_SHIM int pthread_mutex_destroy(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_destroy(m) : real.pthread_mutex_destroy(m);
}

MN_ALIAS(__pthread_mutex_lock, pthread_mutex_lock);
MN_ALIAS(__pthread_mutex_trylock, pthread_mutex_trylock);
MN_ALIAS(__pthread_mutex_unlock, pthread_mutex_unlock);
MN_ALIAS(__pthread_mutex_destroy, pthread_mutex_destroy);
