// SPDX-License-Identifier: Apache-2.0
// C11 threads. glibc builds them on its own pthread functions, which no interposer sees, so each is served by its
// pthread counterpart here, with C11's result codes. The types are glibc's: mtx_t is a pthread_mutex_t, and so on.
#include <threads.h>

#include "runtime/sync/cond.h"
#include "runtime/sync/mutex.h"
#include "runtime/sync/once.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/wait.h"

using namespace mn;

namespace {

int result_of(int error) {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}

pthread_mutex_t* mutex_of(mtx_t* m) {
  return reinterpret_cast<pthread_mutex_t*>(m);
}
pthread_cond_t* cond_of(cnd_t* c) {
  return reinterpret_cast<pthread_cond_t*>(c);
}

}  // namespace

MN_SHIM int thrd_create(thrd_t* t, thrd_start_t start, void* arg) {
  if (!on_here()) return real.thrd_create(t, start, arg);
  // An int comes back in the low half of the return register, where thrd_join looks for it; as glibc casts it too.
  auto* entry = reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void (*)()>(start));
  return result_of(thread_create(t, nullptr, entry, arg));
}
MN_SHIM int thrd_join(thrd_t t, int* result) {
  if (!on() || thread_g(t) == nullptr) return real.thrd_join(t, result);
  void* value = nullptr;
  int error = thread_join(t, &value, Deadline{}, false);
  if (error == 0 && result != nullptr) *result = static_cast<int>(reinterpret_cast<uintptr_t>(value));
  return result_of(error);
}
MN_SHIM int thrd_detach(thrd_t t) {
  return on() && thread_g(t) != nullptr ? result_of(thread_detach(t)) : real.thrd_detach(t);
}
MN_SHIM void thrd_exit(int result) {
  if (on()) thread_exit(reinterpret_cast<void*>(static_cast<uintptr_t>(static_cast<unsigned>(result))));
  real.thrd_exit(result);
  __builtin_unreachable();
}
MN_SHIM int thrd_sleep(const timespec* request, timespec* remaining) {
  if (!scheduled() || !valid_sleep(request)) return real.thrd_sleep(request, remaining);
  return sleep_for(*request, remaining) == 0 ? 0 : -1;
}
MN_SHIM void thrd_yield() {
  on() ? thread_yield() : real.thrd_yield();
}

MN_SHIM int mtx_lock(mtx_t* m) {
  return on() ? result_of(mutex_lock(mutex_of(m))) : real.mtx_lock(m);
}
MN_SHIM int mtx_trylock(mtx_t* m) {
  return on() ? result_of(mutex_trylock(mutex_of(m))) : real.mtx_trylock(m);
}
MN_SHIM int mtx_timedlock(mtx_t* m, const timespec* abstime) {
  return on() ? result_of(mutex_timedlock(mutex_of(m), CLOCK_REALTIME, abstime)) : real.mtx_timedlock(m, abstime);
}
MN_SHIM int mtx_unlock(mtx_t* m) {
  return on() ? result_of(mutex_unlock(mutex_of(m))) : real.mtx_unlock(m);
}
MN_SHIM void mtx_destroy(mtx_t* m) {
  if (!on()) return real.mtx_destroy(m);
  mutex_destroy(mutex_of(m));
}

MN_SHIM int cnd_signal(cnd_t* c) {
  if (!on()) return real.cnd_signal(c);
  cond_signal(cond_of(c));
  return thrd_success;
}
MN_SHIM int cnd_broadcast(cnd_t* c) {
  if (!on()) return real.cnd_broadcast(c);
  cond_broadcast(cond_of(c));
  return thrd_success;
}
MN_SHIM int cnd_wait(cnd_t* c, mtx_t* m) {
  return on() ? result_of(wait_cond(cond_of(c), mutex_of(m), Deadline{})) : real.cnd_wait(c, m);
}
MN_SHIM int cnd_timedwait(cnd_t* c, mtx_t* m, const timespec* abstime) {
  if (!on()) return real.cnd_timedwait(c, m, abstime);
  if (!valid_timespec(*abstime)) return thrd_error;
  return result_of(wait_cond(cond_of(c), mutex_of(m), Deadline{CLOCK_REALTIME, timespec_ns(*abstime)}));
}
MN_SHIM void cnd_destroy(cnd_t* c) {
  if (!on()) real.cnd_destroy(c);
}

MN_SHIM void call_once(once_flag* flag, void (*init)()) {
  if (!on()) return real.call_once(flag, init);
  once(reinterpret_cast<pthread_once_t*>(flag), init);
}
MN_SHIM int tss_create(tss_t* key, tss_dtor_t destructor) {
  return on() ? result_of(key_create(key, destructor)) : real.tss_create(key, destructor);
}
MN_SHIM void tss_delete(tss_t key) {
  if (!on()) return real.tss_delete(key);
  key_delete(key);
}
