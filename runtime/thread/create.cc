// SPDX-License-Identifier: Apache-2.0
// Birth of a thread.
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/options.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/end.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/route.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constinit size_t g_default_stack = 0;
constinit size_t g_default_guard = kPageSize;

struct Request {
  size_t stack_size = 0;
  size_t guard_size = 0;
  void* user_stack = nullptr;
  bool detached = false;
  bool explicit_policy = false;
  bool own_mask = false;
  uint64_t mask = 0;
};

void read_attr(const pthread_attr_t* attr, Request* r) {
  r->stack_size = g_default_stack;
  r->guard_size = g_default_guard;
  if (attr == nullptr) return;
  void* base = nullptr;
  size_t size = 0;
  int detach = PTHREAD_CREATE_JOINABLE;
  sigset_t mask;
  real.pthread_attr_getstack(attr, &base, &size);
  if (reinterpret_cast<uintptr_t>(base) + size != 0) r->user_stack = base;
  real.pthread_attr_getstacksize(attr, &r->stack_size);
  if (size == 0 && g_default_stack != 0) r->stack_size = g_default_stack;
  real.pthread_attr_getguardsize(attr, &r->guard_size);
  real.pthread_attr_getdetachstate(attr, &detach);
  r->detached = detach == PTHREAD_CREATE_DETACHED;
  if (real.pthread_attr_getsigmask_np(attr, &mask) == 0) {
    r->own_mask = true;
    memcpy(&r->mask, &mask, sizeof r->mask);
  }
  int inherit = PTHREAD_INHERIT_SCHED;
  real.pthread_attr_getinheritsched(attr, &inherit);
  r->explicit_policy = inherit == PTHREAD_EXPLICIT_SCHED;
}

// The program's part of a thread's life. libc's pthread_exit and cancellation unwind to the buffer registered here.
MN_NOINLINE void run(G* g) {
  __pthread_unwind_buf_t buf;
  // Not a longjmp of ours: libc jumps here after it has unwound the stack.
  if (__sigsetjmp(reinterpret_cast<__jmp_buf_tag*>(&buf.__cancel_jmp_buf), 0) == 0) {
    real.__pthread_register_cancel(&buf);
    g->result = PTHREAD_CANCELED;
    g->result = g->start(g->arg);
  }
}

void g_main(void* arg) {
  auto* g = static_cast<G*>(arg);
  finish_switch();
  leave();
  real.__ctype_init();
  run(g);
  thread_end(g);
}

int ensure_scheduler(G* self) {
  // Acquire: pairs with the release in sched_start.
  if (MN_UNLIKELY(!sched.started.load(std::memory_order_acquire))) return sched_start(self);
  if (MN_UNLIKELY(sched.helpers_lost)) return sched_start_helpers(self);
  return 0;
}

// Where there is no memory it may be that of threads that are to run yet, or to end: natively the kernel runs them
// beside their creator. Each turn must have ended one, or the next would not help either.
G* get_when_others_end(const Request& r) {
  for (;;) {
    auto ended = [] { return threads_created() - static_cast<uint64_t>(threads_alive()); };
    uint64_t before = ended();
    thread_yield();
    if (G* g = gpool_get(r.stack_size, r.guard_size, r.user_stack)) return g;
    if (ended() == before) return nullptr;
  }
}

}  // namespace

void threads_init() {
  ends_init();
  pthread_attr_t attr;
  real.pthread_getattr_default_np(&attr);
  real.pthread_attr_getstacksize(&attr, &g_default_stack);
  real.pthread_attr_getguardsize(&attr, &g_default_guard);
  real.pthread_attr_destroy(&attr);
  if (options.stack_size != 0) g_default_stack = round_up(options.stack_size, kPageSize);
}

int thread_create(pthread_t* out, const pthread_attr_t* attr, void* (*start)(void*), void* arg) {
  G* self = self_g();
  if (ensure_scheduler(self) != 0) return EAGAIN;
  Request r;
  read_attr(attr, &r);
  if (r.user_stack != nullptr && r.stack_size < static_cast<size_t>(PTHREAD_STACK_MIN)) return EINVAL;

  KernelPolicy* policy = nullptr;
  if (int error = policy_for_new(self, attr, &policy)) return error;
  G* g = gpool_get(r.stack_size, r.guard_size, r.user_stack);
  if (MN_UNLIKELY(g == nullptr)) g = get_when_others_end(r);
  if (g == nullptr) {
    free_policy(policy);
    return EAGAIN;
  }
  g->start = start;
  g->arg = arg;
  g->explicit_policy = r.explicit_policy;
  memcpy(g->name, self->name, sizeof g->name);
  g->altstack = {};
  g->cpu_ns.store(0, std::memory_order_relaxed);
  g->sigmask = r.own_mask ? r.mask & ~kUnmaskable : self->sigmask;
  signals_begin(g);
  signals_opened(g->sigmask);
  if (r.detached) g->life.store(kDetached, std::memory_order_relaxed);
  StackRange stack = gpool_stack(g);
  context_make(&g->ctx, stack.low, stack.bytes, g_main, g);
  *out = thread_of(g);

  M* m = enter();
  if (m->p != nullptr)
    m->p->gs_created.store(m->p->gs_created.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  else
    count_kernel_thread(1);
  if (policy == nullptr)
    ready(g);
  else
    start_with_policy(g, policy);
  leave();
  return 0;
}

}  // namespace mn
