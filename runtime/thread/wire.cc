// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/wire.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "runtime/os/confined.h"
#include "runtime/os/syscall.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
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

// Where the list's last entry points to the head, or where the kernel stops (ROBUST_LIST_LIMIT). The memory is the
// program's, and may be gone. Null: it is.
uintptr_t* last_link(RobustHead* head) {
  constexpr int kMost = 2040;
  auto* link = reinterpret_cast<uintptr_t*>(&head->list);
  uintptr_t entry = *link;
  for (int n = 0; n < kMost && (entry & ~uintptr_t{1}) != reinterpret_cast<uintptr_t>(head); ++n) {
    link = reinterpret_cast<uintptr_t*>(entry & ~uintptr_t{1});  // the lowest bit: priority-inheriting
    if (!copy_memory(&entry, link, sizeof entry)) return nullptr;
  }
  return link;
}

}  // namespace

bool is_kernels(const G* g) {
  return g->wired && tcb_tid(g->tp) < kFakeTidBase;
}

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
  if (!is_main) {
    gpool_unlist(g);
    if (may_use(kQuestions)) raw_syscall(SYS_prctl, PR_SET_NAME, sys_arg(g->name));
  }
  tcb_set_tid(g->tp, g->m.load(std::memory_order_relaxed)->ktid.load(std::memory_order_relaxed));
  raw_syscall(SYS_set_robust_list, sys_arg(robust_head(g)), sizeof(RobustHead));
  leave();
}

bool main_is_alone() {
  if (!sched.started.load(std::memory_order_relaxed)) return true;
  if (threads_alive() != 0 || adopted_all != nullptr || sched.stays || !sched_stop()) return false;
  signals_to_kernel();
  return true;
}

void leave_kernel_thread(G* g) {
  RobustHead* head = robust_head(g);
  RobustHead* heir = head;
  if (g->rseq.area != nullptr)
    raw_syscall(SYS_rseq, sys_arg(g->rseq.area), g->rseq.size, 1 /* RSEQ_FLAG_UNREGISTER */, g->rseq.signature);
  g->rseq = {};
  const bool any = head->list != reinterpret_cast<void**>(head) || head->pending != nullptr;
  enter();
  if (g->slot != nullptr) {
    M* m = g->m.load(std::memory_order_relaxed);
    heir = reinterpret_cast<RobustHead*>(static_cast<char*>(m->g0.tp) + tcb_layout.robust_head);
  }
  if (any) {
    uintptr_t* last = last_link(head);
    const bool noticed = last != nullptr && head->futex_offset == -static_cast<long>(offsetof(KernelsWord, next));
    g->kernels_word.next = heir;
    void* end = noticed ? static_cast<void*>(&g->kernels_word.next) : heir;
    if (last != nullptr) copy_memory(last, &end, sizeof end);
    if (noticed)
      g->kernels_word.word.store(static_cast<uint32_t>(tcb_tid(g->tp)) | FUTEX_WAITERS, std::memory_order_relaxed);
    if (heir != head) *heir = *head;
  }
  if (g->slot != nullptr) {
    head->list = reinterpret_cast<void**>(head);
    head->pending = nullptr;
    RobustHead* present = head;
    size_t size = 0;
    if (may_use(kQuestions)) raw_syscall(SYS_get_robust_list, 0, sys_arg(&present), sys_arg(&size));
    // Else it is one of the program's own.
    if (present == head) raw_syscall(SYS_set_robust_list, sys_arg(heir), sizeof(RobustHead));
    tcb_set_tid(g->tp, static_cast<int>(g->tid));
    gpool_list(g);
  }
  leave();
}

void await_kernels_word(G* g) {
  for (;;) {
    uint32_t word = g->kernels_word.word.load(std::memory_order_relaxed);
    if ((word & FUTEX_OWNER_DIED) != 0) break;
    raw_syscall(SYS_futex, sys_arg(&g->kernels_word.word), FUTEX_WAIT, word, 0);
  }
  g->kernels_word.word.store(0, std::memory_order_relaxed);
}

}  // namespace mn
