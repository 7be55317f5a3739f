// SPDX-License-Identifier: Apache-2.0
// vfork. The child is another process that runs on the caller's stack and in the caller's memory, this runtime's data
// included, while the calling thread sleeps in the kernel. What is memory it shares with that thread: to mutexes,
// futexes and the wait queues it *is* that thread, for they go by address space. What the kernel keeps is its own:
// masks, handlers, the alternate stack, descriptors, names, priorities, credentials. G::vforked tells the two apart: it
// is set while the child runs, and the parent's thread runs nothing meanwhile. Calls that are about what the kernel
// keeps go to libc then (on_here, shim.h), and on_signal() calls the handler and touches nothing of the G.
//
// The child must never be switched out, for then another G would run in it. So the thread is wired for as long: it has
// no P, and waits by sleeping. It stays so while the child lives if the child asked to be traced by its parent or for a
// signal at its parent's end, for the kernel takes that to be the thread (thread/children.h).
//
// Threads that the child makes are libc's, for Gs would run on the parent's Ms, in the parent's process. What they call
// makes Gs of them as of any foreign thread (thread/adopt.cc), with G::vforked set.
//
// All signals are blocked from before the system call until each of the two knows which it is. One that came to the
// child before would be taken for one of the thread's.
//
// Rejected: making it fork(2): programs tell the two apart by speed and by shared memory.
#include <sys/types.h>

#include <new>

#include "runtime/os/memory.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/children.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/vfork.h"

using namespace mn;

namespace {

// Of a vfork that is under way. The child may call vfork, too, and its child, to any depth: each process that waits for
// a deeper one has its record.
struct Vfork {
  Vfork* outer = nullptr;
  Vfork* inner = nullptr;  // the next, once it was needed
  void* return_address = nullptr;
  uint64_t mask = 0;        // the kernel's
  bool by_a_child = false;  // of another vfork
  bool ours = false;
};

constexpr unsigned kAtHand = 4;
thread_local constinit Vfork g_at_hand[kAtHand] __attribute__((tls_model("initial-exec")));
thread_local constinit Vfork* g_innermost __attribute__((tls_model("initial-exec"))) = nullptr;

// Deeper ones have pages, which the thread keeps to its end, and which are lost then.
Vfork* first_of_more() {
  constexpr size_t kEach = kPageSize / sizeof(Vfork);
  auto* more = static_cast<Vfork*>(map_memory(kPageSize));
  MN_CHECK(more != nullptr, "no memory for a vfork within vforks");
  for (size_t i = 0; i < kEach; ++i) new (&more[i]) Vfork{.inner = i + 1 < kEach ? &more[i + 1] : nullptr};
  return more;
}

Vfork* begin() {
  Vfork* outer = g_innermost;
  Vfork* v = outer == nullptr ? g_at_hand : outer->inner;
  if (v == nullptr) {
    const bool has_next = outer >= g_at_hand && outer < g_at_hand + kAtHand - 1;
    v = outer->inner = has_next ? outer + 1 : first_of_more();
  }
  v->outer = outer;
  return g_innermost = v;
}

void set_mask(const uint64_t* mask, uint64_t* old) {
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(mask), sys_arg(old), 8);
}

}  // namespace

namespace mn {

uint64_t vfork_prepare(bool* by_a_child) {
  G* g = self_g();
  *by_a_child = g->vforked;
  if (!g->wired) {
    enter();
    wire_self();
    leave();
  }
  g->vfork_keeps = false;
  vforks_under_way.fetch_add(1, std::memory_order_relaxed);
  uint64_t all = ~uint64_t{0}, mask = 0;
  set_mask(&all, &mask);
  return mask;
}

void vfork_child(uint64_t mask) {
  this_g()->vforked = true;
  set_mask(&mask, nullptr);
}

void vfork_parent(uint64_t mask, bool by_a_child, pid_t child) {
  G* g = this_g();
  g->vforked = by_a_child;
  vforks_under_way.fetch_sub(1, std::memory_order_relaxed);
  set_mask(&mask, nullptr);
  if (by_a_child) return;
  if (child > 0 && g->vfork_keeps)
    parent_of(child);
  else
    parent_may_move();
}

}  // namespace mn

extern "C" MN_HIDDEN void* mn_vfork_begin(void* return_address) {
  bool ours = on();
  Vfork& v = *begin();
  v.return_address = return_address;
  v.ours = ours;
  if (ours) v.mask = vfork_prepare(&v.by_a_child);
  return reinterpret_cast<void*>(real.vfork);
}

// In the child and then in the parent.
extern "C" MN_HIDDEN void* mn_vfork_end(pid_t child) {
  Vfork& v = *g_innermost;
  if (v.ours && child == 0) vfork_child(v.mask);
  if (child == 0) return v.return_address;
  g_innermost = v.outer;
  if (v.ours) {
    int saved = errno;
    vfork_parent(v.mask, v.by_a_child, child);
    errno = saved;
  }
  return v.return_address;
}
