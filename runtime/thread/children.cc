// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/children.h"

#include <errno.h>

#include "runtime/os/lock.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

// A thread that has more children than there is room for stays wired for good.
constexpr int kMost = 1024;

struct Child {
  pid_t pid = 0;  // 0: free
  G* parent = nullptr;
};

// Leaf lock; taken inside. Guards the table and G::children of all.
constinit SpinLock g_lock;
constinit Child g_children[kMost];
constinit std::atomic<int> g_used{0};  // those at or above have never been used; a hint without the lock

int used() {
  return g_used.load(std::memory_order_relaxed);
}

void remove_locked(Child* c) {
  --c->parent->children;
  *c = {};
}

// Those that the kernel has reaped by itself (SIGCHLD ignored), and those that somebody waited for behind our back.
void forget_gone_locked(const G* parent) {
  for (int i = 0; i < used(); ++i)
    if (g_children[i].pid != 0 && g_children[i].parent == parent &&
        raw_syscall(SYS_kill, g_children[i].pid, 0) == -ESRCH)
      remove_locked(&g_children[i]);
}

}  // namespace

void parent_of(pid_t child) {
  G* self = this_g();
  enter();
  {
    SpinGuard guard(g_lock);
    if (self->children != 0) forget_gone_locked(self);
    int at = 0;
    while (at < kMost && g_children[at].pid != 0) ++at;
    ++self->children;
    if (at < kMost) {
      g_children[at] = {child, self};
      if (at >= used()) g_used.store(at + 1, std::memory_order_relaxed);
    }
  }
  leave();
}

bool child_reaped(pid_t child) {
  if (MN_LIKELY(used() == 0)) return false;
  bool found = false;
  self_g();
  enter();
  {
    SpinGuard guard(g_lock);
    for (int i = 0; i < used() && !found; ++i) {
      found = g_children[i].pid == child;
      if (found) remove_locked(&g_children[i]);
    }
  }
  leave();
  return found;
}

void parent_may_move() {
  const G* self = this_g();
  bool runs = sched.started.load(std::memory_order_relaxed) && !self->vforked;
  bool own = self->slot == nullptr && self != sched.main_g;
  if (runs && self->wired && !self->bound && !own && !sched.main_is_libcs && self->children == 0) unwire_self();
}

void children_orphaned(G* g) {
  if (MN_LIKELY(g->children == 0)) return;
  SpinGuard guard(g_lock);
  for (int i = 0; i < used(); ++i)
    if (g_children[i].parent == g) g_children[i] = {};
  g->children = 0;
}

void children_forget_after_fork() {
  vforks_under_way.store(0, std::memory_order_relaxed);
  g_lock.reset_after_fork();
  for (int i = 0; i < used(); ++i) g_children[i] = {};
  g_used.store(0, std::memory_order_relaxed);
  this_g()->children = 0;
}

}  // namespace mn
