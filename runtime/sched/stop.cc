// SPDX-License-Identifier: Apache-2.0
// The end of the scheduler in a process that goes on: main is its only thread again, on the process's first kernel
// thread, wired, as before the first pthread_create; the next one starts the scheduler anew.
//
//   1. main sets Sched::stopping to the M of the first kernel thread, the leader, and parks if it runs elsewhere
//   2. each M that looks for work ends when it sees that; the one that main has left gives its P up, then wakes the
//      idle ones; the leader takes that P, and main from the global queue
//   3. main, on the leader, wakes creator and sysmon, which end, waits until the kernel knows none of the threads, and
//      makes the scheduler's state that of a process that has not begun
//
// An M that took main by chance runs it; main parks again. No G but main exists meanwhile, so that nothing is made
// ready that an ending M might miss.
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/netpoll.h"
#include "runtime/sched/provide.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Kernel threads of the runtime that are about to end, the last so many: an older one has ended long since.
constexpr unsigned kMostThreads = 128;
constinit std::atomic<int> g_ending[kMostThreads];
constinit std::atomic<unsigned> g_n_ending{0};

M* leaders_m_locked() {
  const int pid = sys_getpid();
  for (M* m = sched.all_ms; m != nullptr; m = m->all_next)
    if (m->ktid.load(std::memory_order_relaxed) == pid) return m;
  return nullptr;
}

void wake_idle_ms() {
  for (;;) {
    sched.lock.lock();
    M* m = take_idle_m_locked(nullptr);
    sched.lock.unlock();
    if (m == nullptr) return;
    rouse(m);
  }
}

void commit_to_leader(M*, G* prev, void*) {
  prev->state = GState::kRunnable;
  SpinGuard guard(sched.lock);
  global_put_locked(prev);
}

}  // namespace

void kernel_thread_ends() {
  unsigned at = g_n_ending.fetch_add(1, std::memory_order_relaxed) % kMostThreads;
  g_ending[at].store(tcb_tid(thread_pointer()), std::memory_order_relaxed);
}

void await_ends() {
  for (auto& ending : g_ending) {
    const int ktid = ending.exchange(0, std::memory_order_relaxed);
    while (ktid != 0 && raw_syscall(SYS_tgkill, sys_getpid(), ktid, 0) == 0) yield_cpu();
  }
}

void m_stops(M* m) {
  set_kernel_mask(m, kAllMasked);
  preempt_forget(m);
  sched.lock.lock();
  if (P* p = m->p) {
    m->p = nullptr;
    put_idle_p_locked(p);
  }
  unlink_m_locked(m);
  sched.lock.unlock();
  wake_idle_ms();
}

bool sched_stop() {
  G* self = this_g();
  sched.lock.lock();
  M* leader = leaders_m_locked();
  const bool can = leader != nullptr && sched.n_ms < static_cast<int>(kMostThreads / 2);
  sched.lock.unlock();
  M* m = enter();
  if (!can || (self->wired && m != leader) || (leader->wired && m != leader)) {
    leave();
    return false;
  }
  // Seq_cst: pairs with find_runnable's look; an M that sleeps by then is woken below.
  sched.stopping.store(leader, std::memory_order_seq_cst);
  while (self->m.load(std::memory_order_relaxed) != leader) park(commit_to_leader, nullptr);
  const int ms = ms_alive();
  m = leader;
  while (!helpers_ended()) {
    wake_idle_ms();
    yield_cpu();
  }
  await_ends();
  stacks_are_free(ms);
  if (P* p = m->p) {
    m->p = nullptr;
    p->m.store(nullptr, std::memory_order_relaxed);
  }
  self->wired = m->wired = true;
  m->has_g0 = true;
  sched_forget();
  sched.stopping.store(nullptr, std::memory_order_relaxed);
  leave();
  return true;
}

}  // namespace mn
