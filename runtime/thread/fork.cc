// SPDX-License-Identifier: Apache-2.0
// fork. The child is a process with one thread, the caller's G, and is what a process is before its first
// pthread_create: that G is main, wired to the only kernel thread, and its calls go to libc. So whoever idles in the
// child sleeps in the kernel, with its own mask, and takes signals as natively, whether or not the child ever makes a
// thread. Its next pthread_create starts the scheduler (sched_start). All other Gs, Ms and Ps' queues are forgotten, as
// libc forgets its threads.
//
// The handlers are registered before all others, an allocator's too, which may be initialised first: `prepare` runs
// last and `child` first.
//
//   begin    wires the caller, which stays so while a child lives (thread/children.h). It gives its P away: libc takes
//            its own locks next, malloc's and those of streams, and their holder may need a P to go on (a handler
//            interrupted it, and waits). Before any handler, for a new kernel thread may have to be made
//   prepare  goes inside, and blocks all signals
//   parent   opens them again
//   child    resets what other Ms may have been changing, and opens them
//
// Signals are blocked from before the copy is made until the child's tables are its own, as musl does: one that reaches
// the child earlier waits in the kernel. It would be noted in what the child then forgets. What was noted for the
// parent's threads is not the child's (POSIX: pending signals are not inherited). The handlers of the program run
// before and after, with its own mask.
//
// No lock of ours is held meanwhile: a G that waits for it would keep its P from the holder of libc's. The child sees
// what each thread had written up to some moment, in order (a write to a page that is shared already waits for the end
// of the fork). So a lock that was not held guards what is whole, and the rest is made anew.
//
// Rejected: a child on the scheduler as its parent was. It has no sysmon, its only M idles with all signals blocked,
// and helper threads in each child would cost more than the fork.
#include "runtime/thread/fork.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb_list.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/once.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/adopt.h"
#include "runtime/thread/children.h"
#include "runtime/thread/end.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit Hook fork_share_descriptors = nullptr, fork_reset_descriptors = nullptr;

namespace {

// The kernel's mask of the thread that forks; its own in the child.
thread_local constinit uint64_t g_mask __attribute__((tls_model("initial-exec"))) = 0;

void wire_for_children() {
  enter();
  wire_self();
  leave();
}

}  // namespace

void fork_begin() {
  self_g();
  enter();
  leave_first_m();
  leave();
  wire_for_children();
}

void fork_prepare() {
  self_g();
  wire_for_children();
  fork_share_descriptors();
  tcb_list_before_fork();
  enter();
  // libc's two signals included: setuid's, and a cancellation.
  uint64_t all = ~uint64_t{0};
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&all), sys_arg(&g_mask), 8);
}

void fork_parent() {
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&g_mask), 0, 8);
  leave();
}

void fork_over(pid_t child) {
  if (in_vfork_child()) return;  // it is that process's, not the thread's
  int saved = errno;
  if (child > 0)
    parent_of(child);
  else
    parent_may_move();
  errno = saved;
}

void fork_child() {
  G* self = this_g();
  if (self->vforked) {
    self->vforked = false;
    self->sigmask = g_mask & ~kUnmaskable;
  }
  gpool_reset_after_fork(self);
  // Where there never was another thread nobody waits. Looking costs as much as the fork of a small program.
  if (sched.started.load(std::memory_order_relaxed) || adopted_all != nullptr) waitq_reset_after_fork();
  once_reset_after_fork();
  sched_reset_after_fork();
  fork_reset_descriptors();
  threads_forget_after_fork();
  adopted_forget_after_fork();
  children_forget_after_fork();
  signals_reset_after_fork();
  set_kernel_mask(self->m.load(std::memory_order_relaxed), self->sigmask);
  leave();
}

void fork_init() {
  static constinit std::atomic<bool> done{false};
  if (!done.exchange(true, std::memory_order_relaxed))
    real.__register_atfork(fork_prepare, fork_parent, fork_child, nullptr);
}

}  // namespace mn
