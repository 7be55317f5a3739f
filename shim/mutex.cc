// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/mutex.h"
#include "runtime/thread/wire.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// libc's kinds name their holder to the kernel by its thread id: the caller must be a kernel thread of its own.
pthread_mutex_t* kernels(pthread_mutex_t* m) {
  if (on() && mutex_needs_kernel_thread(m)) thread_wire();
  return m;
}

}  // namespace

MN_SHIM MN_PREEMPTIBLE int pthread_mutex_lock(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_lock(m) : real.pthread_mutex_lock(kernels(m));
}
MN_SHIM MN_PREEMPTIBLE int pthread_mutex_trylock(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_trylock(m) : real.pthread_mutex_trylock(kernels(m));
}
MN_SHIM int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* abstime) {
  return on() && !mutex_is_libcs(m) ? mutex_timedlock(m, CLOCK_REALTIME, abstime)
                                    : real.pthread_mutex_timedlock(kernels(m), abstime);
}
MN_SHIM int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* abstime) {
  if (!on() || mutex_is_libcs(m)) return real.pthread_mutex_clocklock(kernels(m), clock, abstime);
  return valid_clock(clock) ? mutex_timedlock(m, clock, abstime) : EINVAL;
}
MN_SHIM MN_PREEMPTIBLE int pthread_mutex_unlock(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_unlock(m) : real.pthread_mutex_unlock(m);
}
MN_SHIM int pthread_mutex_destroy(pthread_mutex_t* m) {
  return on() && !mutex_is_libcs(m) ? mutex_destroy(m) : real.pthread_mutex_destroy(m);
}

MN_ALIAS(__pthread_mutex_lock, pthread_mutex_lock);
MN_ALIAS(__pthread_mutex_trylock, pthread_mutex_trylock);
MN_ALIAS(__pthread_mutex_unlock, pthread_mutex_unlock);
MN_ALIAS(__pthread_mutex_destroy, pthread_mutex_destroy);
