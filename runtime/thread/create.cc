// SPDX-License-Identifier: Apache-2.0
// Birth of a thread.
//
// What glibc does for it (pthread_create.c, allocatestack.c, descr.h; 2.34 to 2.43), and where that is done here.
// end.cc has the other half, libc_state.h what of a TCB is the next thread's.
//
//   in pthread_create
//     first thread: SIGSETXID's handler, no longer  by libc, when it makes the first kernel thread (ms.cc)
//       single-threaded, locks of streams
//     defaults of the process, C11 threads too      attr.cc
//     size of stack and guard, or EINVAL            attr.cc; EAGAIN without memory
//     stack, its guard, executable if need be       gpool.cc, os/stack_prot.cc
//     tcb, self, guards, feature_1, list,           tcb_create (os/tcb.cc), once for each slot
//       multiple_threads, rseq area
//     dtv, static TLS                               tcb_create; tcb_recycle for the next thread
//     on the list of stacks                         gpool_list (os/tcb_list.cc)
//     cancelhandling, cleanup, robust list          tcb_recycle, run() below, wire.cc
//     setxid_futex, setup_failed, exiting, lock     need not be: only libc's own start_thread and pthread_kill use them
//     eventbuf, nextevent, report_events            need not be: no debugger asks for events of Gs
//     start routine, argument, c11, detached        G
//     policy and priority, told and inherited       tell (policy.cc)
//     affinity, policy, of the kernel               start_with_policy (policy.cc); asked before, so EINVAL and EPERM
//                                                   come without a thread that has to be taken back
//     signal mask: the attribute's or the caller's  below
//     name, floating-point control                  below, the kernel's comm when it is wired; context_make
//   in start_thread
//     resolver state                                libc_state_begin (os/libc_state.cc)
//     tables of characters                          g_main
//     rseq                                          not registered: sched_getcpu asks the kernel. A G moves
//     robust list                                   thread_wire (wire.cc): only a wired thread has robust mutexes
//     stack's name in /proc/self/maps               not given: arenas hold many
//     unwind buffer, c11's result                   run()
#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/os/confined.h"
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

// The program's part of a thread's life. libc's pthread_exit and cancellation unwind to the buffer registered here, as
// the outermost: no other, and no old-style clean-up buffers, come before it. Both are put down after the jump buffer,
// which they may overlap.
MN_NOINLINE void run(G* g) {
  __pthread_unwind_buf_t buf;
  // Not a longjmp of ours: libc jumps here after it has unwound the stack.
  if (__sigsetjmp(reinterpret_cast<__jmp_buf_tag*>(&buf.__cancel_jmp_buf), 0) == 0) {
    buf.__pad[0] = buf.__pad[1] = nullptr;
    auto* cleanup = &tcb_at<void*>(g->tp, tcb_layout.cleanup);
    cleanup[0] = nullptr;
    cleanup[1] = &buf;
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
  if (may_use(kQuestions)) policy_init();
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

MN_COLD int create_by_default(pthread_t* out, void* (*start)(void*), void* arg) {
  DefaultAttr standard;
  return standard.error() != 0 ? standard.error() : thread_create(out, standard.get(), start, arg);
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
  attr_init();
}

int thread_create(pthread_t* out, const pthread_attr_t* attr, void* (*start)(void*), void* arg) {
  if (MN_UNLIKELY(attr == nullptr && DefaultAttr::is_set())) return create_by_default(out, start, arg);
  G* self = self_g();
  if (ensure_scheduler(self) != 0) return EAGAIN;
  Request r;
  if (int error = read_attr(attr, &r)) return error;

  NewPolicy policy;
  if (int error = policy_for_new(self, attr, &policy)) return error;
  G* g = gpool_get(r.stack_size, r.guard_size, r.user_stack);
  if (MN_UNLIKELY(g == nullptr)) g = get_when_others_end(r);
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
  g->on_alternate = false;
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
  if (MN_LIKELY(policy.kernel == nullptr && !self->particular)) {
    ready(g);
    leave();
    return 0;
  }
  leave();
  g->particular = self->particular;
  return start_on_kernel_thread(g, policy.kernel) ? 0 : give_back(g);
}

}  // namespace mn
