// SPDX-License-Identifier: Apache-2.0
// What a thread may ask about threads, its sleep and its yield.
#include <errno.h>
#include <string.h>

#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/thread.h"

namespace mn {

int thread_getattr(pthread_t t, pthread_attr_t* attr) {
  G* g = thread_g(t);
  if (g == nullptr || g->slot == nullptr) return real.pthread_getattr_np(t, attr);
  int error = real.pthread_attr_init(attr);
  if (error != 0) return error;
  real.pthread_attr_setstack(attr, g->stack_base, g->stack_size);
  real.pthread_attr_setguardsize(attr, g->user_stack ? 0 : g->guard_size);
  if (g->explicit_policy) ::pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
  bool detached = (g->life.load(std::memory_order_relaxed) & kDetached) != 0;
  real.pthread_attr_setdetachstate(attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
  return 0;
}

int thread_setname(pthread_t t, const char* name) {
  G* g = thread_g(t);
  size_t size = strlen(name);
  if (size >= sizeof g->name) return ERANGE;
  if (g != nullptr && ended(g)) return ENOENT;
  if (g != nullptr) memcpy(g->name, name, size + 1);
  return g == nullptr || g->slot == nullptr ? real.pthread_setname_np(t, name) : 0;
}

int thread_getname(pthread_t t, char* buf, size_t size) {
  G* g = thread_g(t);
  if (g == nullptr || g->slot == nullptr) return real.pthread_getname_np(t, buf, size);
  if (ended(g)) return ENOENT;
  if (size < sizeof g->name) return ERANGE;  // as glibc: room for any name is asked for
  memcpy(buf, g->name, sizeof g->name);
  return 0;
}

int thread_sleep(const Deadline& deadline) {
  for (;;) {
    G* g = self_g();
    enter();
    int error = wait_if(&g->note, {deadline, nullptr}, [] { return true; });
    leave();
    if (error == EINTR) return EINTR;
    if (deadline.passed()) return ETIMEDOUT;
  }
}

void thread_yield() {
  G* g = self_g();
  if (MN_UNLIKELY(g->wired)) {
    raw_syscall(SYS_sched_yield);
    return;
  }
  enter();
  bool switched = yield_now();
  leave();
  if (!switched && sched.n_idle_ps.load(std::memory_order_relaxed) == 0) raw_syscall(SYS_sched_yield);
}

}  // namespace mn
