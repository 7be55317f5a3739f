// SPDX-License-Identifier: Apache-2.0
// Birth of a thread.
#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/attr.h"
#include "runtime/thread/end.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/route.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

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
  if (MN_LIKELY(sched.started.load(std::memory_order_acquire))) return 0;
  policy_init();
  int error = sched_start(self);
  if (error == 0) lead_main_to_its_end(self);
  return error;
}

// Of a thread that cannot be begun after all.
int give_back(G* g) {
  M* m = enter();
  if (m->p != nullptr)
    m->p->gs_ended.store(m->p->gs_ended.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  else
    count_kernel_thread(-1);
  forget_policy(g);
  gpool_put(g);
  leave();
  return EAGAIN;
}

int create(pthread_t* out, const pthread_attr_t* attr, void* (*start)(void*), void* arg) {
  G* self = self_g();
  if (ensure_scheduler(self) != 0) return EAGAIN;
  Request r;
  if (int error = read_attr(attr, &r)) return error;

  NewPolicy policy;
  if (int error = policy_for_new(self, attr, &policy)) return error;
  G* g = gpool_get(r.stack_size, r.guard_size, r.user_stack);
  if (g == nullptr) {
    free_policy(policy.kernel);
    return EAGAIN;
  }
  tell(g, policy.told);
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
  char* low = r.user_stack != nullptr ? g->stack_base : g->slot + g->guard_size;
  size_t bytes = r.user_stack != nullptr ? r.stack_size : static_cast<size_t>(reinterpret_cast<char*>(g) - low);
  context_make(&g->ctx, low, bytes, g_main, g);
  *out = thread_of(g);

  M* m = enter();
  if (m->p != nullptr)
    m->p->gs_created.store(m->p->gs_created.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  else
    count_kernel_thread(1);
  if (MN_LIKELY(policy.kernel == nullptr && !self->particular)) {
    ready(g);
    leave();
    return 0;
  }
  leave();
  g->particular = self->particular;
  return start_on_kernel_thread(g, policy.kernel) ? 0 : give_back(g);
}

}  // namespace

void threads_init() {
  ends_init();
  attr_init();
}

int thread_create(pthread_t* out, const pthread_attr_t* attr, void* (*start)(void*), void* arg) {
  if (MN_LIKELY(attr != nullptr || !DefaultAttr::is_set())) return create(out, attr, start, arg);
  DefaultAttr standard;
  return standard.error() != 0 ? standard.error() : create(out, standard.get(), start, arg);
}

}  // namespace mn
