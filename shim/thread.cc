// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/thread.h"
#include "runtime/sync/once.h"
#include "runtime/thread/signal.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM int pthread_create(pthread_t* t, const pthread_attr_t* attr, void* (*start)(void*), void* arg) {
  // As on_here(), without a frame where that has nothing to ask.
  if (MN_LIKELY(on() && this_g() != nullptr && !this_g()->vforked)) return thread_create(t, attr, start, arg);
  return on_here() ? thread_create(t, attr, start, arg) : real.pthread_create(t, attr, start, arg);
}

MN_SHIM MN_FLATTEN int pthread_join(pthread_t t, void** result) {
  if (!on() || thread_g(t) == nullptr) return real.pthread_join(t, result);
  return thread_join(t, result, Deadline{}, false);
}
MN_SHIM int pthread_tryjoin_np(pthread_t t, void** result) {
  if (!on() || thread_g(t) == nullptr) return real.pthread_tryjoin_np(t, result);
  return thread_join(t, result, Deadline{}, true);
}
MN_SHIM int pthread_timedjoin_np(pthread_t t, void** result, const timespec* abstime) {
  if (!on() || thread_g(t) == nullptr) return real.pthread_timedjoin_np(t, result, abstime);
  if (abstime != nullptr && !valid_timespec(*abstime)) return EINVAL;
  return thread_join(t, result, abstime != nullptr ? Deadline{CLOCK_REALTIME, timespec_ns(*abstime)} : Deadline{},
                     false);
}
MN_SHIM int pthread_clockjoin_np(pthread_t t, void** result, clockid_t clock, const timespec* abstime) {
  if (!on() || thread_g(t) == nullptr) return real.pthread_clockjoin_np(t, result, clock, abstime);
  if (!valid_clock(clock) || (abstime != nullptr && !valid_timespec(*abstime))) return EINVAL;
  return thread_join(t, result, abstime != nullptr ? Deadline{clock, timespec_ns(*abstime)} : Deadline{}, false);
}
MN_SHIM int pthread_detach(pthread_t t) {
  return on() && thread_g(t) != nullptr ? thread_detach(t) : real.pthread_detach(t);
}
MN_SHIM void pthread_exit(void* result) {
  if (on()) thread_exit(result);
  real.pthread_exit(result);
  __builtin_unreachable();
}
MN_SHIM int pthread_cancel(pthread_t t) {
  return on() ? thread_cancel(t) : real.pthread_cancel(t);
}
MN_SHIM int pthread_kill(pthread_t t, int sig) {
  return on_here() ? signal_thread(t, sig, nullptr) : real.pthread_kill(t, sig);
}
MN_SHIM int pthread_sigqueue(pthread_t t, int sig, const sigval value) {
  return on_here() ? signal_thread(t, sig, &value) : real.pthread_sigqueue(t, sig, value);
}

MN_SHIM int pthread_getattr_np(pthread_t t, pthread_attr_t* attr) {
  return on() ? thread_getattr(t, attr) : real.pthread_getattr_np(t, attr);
}
MN_SHIM int pthread_once(pthread_once_t* control, void (*init)()) {
  if (!on()) return real.pthread_once(control, init);
  once(control, init);
  return 0;
}
MN_SHIM int pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) {
  return on() ? key_create(key, destructor) : real.pthread_key_create(key, destructor);
}
MN_SHIM int pthread_key_delete(pthread_key_t key) {
  return on() ? key_delete(key) : real.pthread_key_delete(key);
}

MN_ALIAS(__pthread_once, pthread_once);
MN_ALIAS(__pthread_key_create, pthread_key_create);
