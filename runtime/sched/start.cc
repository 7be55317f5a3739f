// SPDX-License-Identifier: Apache-2.0
// The start of the scheduler, and its state as before the start. The first pthread_create of a process makes the Ps
// and the helper threads, and main, wired until then, becomes a G like others. stop.cc ends the scheduler again; a
// child of fork begins without it. Both leave the state that the next start expects.
#include <errno.h>
#include <time.h>

#include "runtime/os/clock.h"
#include "runtime/os/confined.h"
#include "runtime/os/memory.h"
#include "runtime/os/stack_prot.h"
#include "runtime/os/tcb.h"
#include "runtime/os/tcb_list.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/ms.h"

namespace mn {
namespace {

// Gives m, which runs on a thread whose own stack belongs to a G, a g0 on a stack from the pool.
void install_g0(M* m, G* g0) {
  m->g0.tp = g0->tp;
  m->g0.tid = g0->tid;
  m->g0.system = true;
  m->g0.locks = 1;
  m->g0.m.store(m, std::memory_order_relaxed);
  g_slot_of(g0->tp) = &m->g0;
  StackRange stack = gpool_stack(g0);
  context_make(
      &m->g0.ctx, stack.low, stack.bytes,
      [](void* arg) {
        finish_switch();
        g0_loop(static_cast<M*>(arg));
      },
      m);
}

// They stay when the process forks, and its child starts anew.
bool make_ps() {
  if (sched.ps[0] != nullptr) return true;
  size_t stride = round_up(sizeof(P), 128);
  char* ps = static_cast<char*>(map_memory(stride * static_cast<size_t>(sched.nprocs)));
  if (ps == nullptr) return false;
  for (int i = 0; i < sched.nprocs; ++i) {
    sched.ps[i] = new (ps + static_cast<size_t>(i) * stride) P;
    sched.ps[i]->id = i;
    sched.ps[i]->runq.set_alone(sched.nprocs == 1);
  }
  return true;
}

// Main, wired to the process's first kernel thread until now, becomes a G like others, on `m0` and the first P. libc
// knows that kernel thread by main's TCB; but main leaves it, may be bound to another, and may end while it goes on. So
// g0's TCB names it, too, on libc's list (thread/credentials.h). If that is not known main stays where it is.
void begin_main(G* self, M* m0, G* g0) {
  if (g0 != nullptr) install_g0(m0, g0);
  m0->wired = m0->has_g0 = false;
  m0->kmask = self->sigmask;
  m0->altstack = self->altstack;
  const bool known = tcb_list_known();
  m0->libc_tp = known ? m0->g0.tp : self->tp;
  if (known) tcb_set_tid(m0->libc_tp, sched.pid);
  self->bound = self->bound || !known;
  m0->ktid.store(sched.pid, std::memory_order_relaxed);
  m0->inside.store(0, std::memory_order_relaxed);
  tcb_unregister_rseq(self->tp);
  join_all_ms(m0);
  m0->cur = self;
  acquire_p(m0, sched.ps[0]);
  self->wired = false;
  if (may_use(kThreadClocks)) self->cpu_ns.store(kernel_clock_ns(CLOCK_THREAD_CPUTIME_ID), std::memory_order_relaxed);
  self->m.store(m0, std::memory_order_relaxed);
}

}  // namespace

int sched_start(G* self) {
  bool is_main = self == sched.main_g && !sched.main_is_libcs;
  sched.pid = is_main ? tcb_tid(self->tp) : sys_getpid();
  if (!make_ps()) return EAGAIN;
  gpool_reclaim();
  stack_prot_begin();
  M* m0 = self->m.load(std::memory_order_relaxed);
  G* g0 = nullptr;
  if (is_main && !m0->has_g0) {
    m0 = new_m();
    g0 = gpool_get_system();
  }
  int error = m0 == nullptr || (g0 == nullptr && is_main && !m0->has_g0) ? EAGAIN : start_helpers(self);
  if (error != 0) {  // the program may try again
    if (g0 != nullptr && m0 != nullptr) free_m(m0);
    enter();
    if (g0 != nullptr) gpool_put(g0);
    leave();
    return error;
  }
  gpool_announce();

  sched.lock.lock();
  for (int i = sched.nprocs - 1; i >= (is_main ? 1 : 0); --i) put_idle_p_locked(sched.ps[i]);
  sched.lock.unlock();
  if (is_main) begin_main(self, m0, g0);
  // Release: pairs with the acquire of those who ask whether the scheduler runs.
  sched.started.store(true, std::memory_order_release);
  if (is_main && self->bound) {
    enter();
    wire_self();
    leave();
  }
  return 0;
}

void sched_reset_after_fork() {
  G* self = this_g();
  M* m = self->m.load(std::memory_order_relaxed);
  bool libcs = self->slot == nullptr && self != sched.main_g;
  sched.main_is_libcs = libcs || (self == sched.main_g && sched.main_is_libcs);
  sched.main_g = self;
  self->wired = m->wired = true;
  m->p = nullptr;
  m->libc_tp = self->tp;  // libc takes the thread that forked for the child's first
  sched.pid = may_use(kQuestions) ? sys_gettid() : tcb_tid(self->tp);  // fork() has set it
  m->ktid.store(sched.pid, std::memory_order_relaxed);
  m->attention.store(kNone, std::memory_order_relaxed);
  m->preempt.reset_after_fork();
  // The child's clock begins anew, and with it the G's.
  bool charged = (sched.observed.load(std::memory_order_relaxed) & kCpuTimes) != 0;
  m->cpu_mark.store(charged ? 0 : kUnmarked, std::memory_order_relaxed);
  self->cpu_ns.store(0, std::memory_order_relaxed);
  sched.stays = false;
  forget_ms_after_fork();
  m->has_g0 = false;  // its slot is free
  if (!sched.started.load(std::memory_order_relaxed)) return;
  // libc takes the stacks of all threads but the caller for free: with them goes the TCB in which the kernel notes the
  // CPU of this M's thread.
  if (m->g0.tp != nullptr) tcb_unregister_rseq(m->g0.tp);
  const bool torn = sched.lock.reset_after_fork();
  for (M *other = torn ? nullptr : sched.all_ms, *next; other != nullptr; other = next) {
    next = other->all_next;
    if (other != m) free_m(other);
  }
  sched.stopping.store(nullptr, std::memory_order_relaxed);
  sched_forget();
  for (int i = 0; i < sched.nprocs; ++i) {
    P* p = sched.ps[i];
    p->runq.reset_after_fork();
    p->timers.reset_after_fork();
    p->gs_created.store(0, std::memory_order_relaxed);
    p->gs_ended.store(0, std::memory_order_relaxed);
    p->free_gs.clear();  // another M may have been changing it
  }
}

void sched_forget() {
  sched.started.store(false, std::memory_order_relaxed);
  sched.global.clear();
  sched.to_wire.clear();
  sched.global_size.store(0, std::memory_order_relaxed);
  sched.idle_ps = nullptr;
  sched.n_idle_ps.store(0, std::memory_order_relaxed);
  sched.idle_ms = sched.all_ms = nullptr;
  sched.n_idle_ms = sched.n_ms = 0;
  sched.n_spinning.store(0, std::memory_order_relaxed);
  sched.timekeeper = nullptr;
  sched.watched_until = kForever;
  sched.sysmon_asleep.store(false, std::memory_order_relaxed);
  forget_errands();
  for (int i = 0; i < sched.nprocs; ++i) sched.ps[i]->m.store(nullptr, std::memory_order_relaxed);
}

}  // namespace mn
