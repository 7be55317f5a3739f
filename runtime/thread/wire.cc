// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/wire.h"

#include <linux/futex.h>

#include "runtime/os/syscall.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/adopt.h"
#include "runtime/thread/route.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

struct RobustHead {  // Linux struct robust_list_head
  void** list;
  long futex_offset;
  void** pending;
};

RobustHead* robust_head(G* g) {
  return reinterpret_cast<RobustHead*>(static_cast<char*>(g->tp) + tcb_layout.robust_head);
}

// One with priority inheritance that others wait for is left as it is: only the end of the kernel thread, which follows
// (m_retires), makes the kernel give it to the next waiter with the word of the death (exit_pi_state_list);
// FUTEX_UNLOCK_PI would give it as from the living.
void leave_to_next(uint32_t* word, uint32_t tid, bool pi) {
  std::atomic_ref<uint32_t> futex(*word);
  uint32_t seen = futex.load(std::memory_order_relaxed);
  while ((seen & FUTEX_TID_MASK) == tid) {
    if (pi && (seen & FUTEX_WAITERS) != 0) return;
    uint32_t next = (seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    // Release: what the dead thread wrote is visible to the next owner (pairs with the acquire in libc's lock).
    if (!futex.compare_exchange_weak(seen, next, std::memory_order_release)) continue;
    if ((seen & FUTEX_WAITERS) != 0) raw_syscall(SYS_futex, sys_arg(word), FUTEX_WAKE, 1);
    return;
  }
}

}  // namespace

void thread_wire() {
  G* g = self_g();
  if (g->bound) return;
  bool is_main = g == sched.main_g;
  // Main before the scheduler starts, which then leaves it where it is, and threads that libc made.
  bool kernels = !sched.started.load(std::memory_order_relaxed) || (is_main ? sched.main_is_libcs : g->slot == nullptr);
  if (kernels) {
    g->bound = true;
    return;
  }
  enter();
  leave_first_m();
  wire_self();
  g->bound = true;
  if (!is_main) gpool_unlist(g);
  tcb_set_tid(g->tp, sys_gettid());
  raw_syscall(SYS_set_robust_list, sys_arg(robust_head(g)), sizeof(RobustHead));
  leave();
}

bool main_is_alone() {
  if (!sched.started.load(std::memory_order_relaxed)) return true;
  if (threads_alive() != 0 || adopted_all != nullptr || sched.stays || !sched_stop()) return false;
  signals_to_kernel();
  return true;
}

// libc marks priority-inheriting entries in the lowest bit of the list pointer.
void release_robust_mutexes(G* g) {
  RobustHead* head = robust_head(g);
  auto* end = reinterpret_cast<void**>(head);
  auto tid = static_cast<uint32_t>(tcb_tid(g->tp));
  auto entry = reinterpret_cast<uintptr_t>(head->list);
  for (int limit = 2048; limit > 0 && (entry & ~uintptr_t{1}) != reinterpret_cast<uintptr_t>(end); --limit) {
    auto node = entry & ~uintptr_t{1};
    uintptr_t next = *reinterpret_cast<uintptr_t*>(node);
    leave_to_next(reinterpret_cast<uint32_t*>(node + static_cast<uintptr_t>(head->futex_offset)), tid,
                  (entry & 1) != 0);
    entry = next;
  }
  head->list = end;
  if (g->slot != nullptr) {
    M* m = g->m.load(std::memory_order_relaxed);
    raw_syscall(SYS_set_robust_list, sys_arg(static_cast<char*>(m->g0.tp) + tcb_layout.robust_head),
                sizeof(RobustHead));
    tcb_set_tid(g->tp, static_cast<int>(g->tid));
    enter();
    gpool_list(g);
    leave();
  }
}

}  // namespace mn
