// SPDX-License-Identifier: Apache-2.0
// fork. The child has one thread, the caller's G on a copy of its M; all other Gs, Ms and Ps' queues are forgotten, as
// libc forgets its threads. The handlers are registered before all others, an allocator's too, which may be initialised
// first: `prepare` runs last and `child` first.
//
//   reserve  makes the slot that the child's scheduler is to run on. That takes a lock of ld.so's, which another thread
//            may hold, and only libc's own fork() gives the child a free one; and malloc's, which are the caller's own
//            once an allocator's handler has run. (libc's functions that fork by themselves do without: they reserve in
//            `prepare`.)
//   prepare  goes inside, and gives the P away: libc takes its own locks next, malloc's and those of streams, and who
//            holds one may need a P to go on (a handler interrupted it, and waits)
//   child    resets what other Ms may have been changing; the creator and sysmon are started again when the child
//            creates its first thread
//
// No lock of ours is held meanwhile, or who holds a P and wants one would keep it from who holds libc's. The child sees
// what each thread had written up to some moment, in order (a write to a page that is shared already waits for the end
// of the fork). So a lock that was not held guards what is whole, and the rest is made anew.
#include "runtime/thread/fork.h"

#include <errno.h>
#include <pthread.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb_list.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/once.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/adopt.h"
#include "runtime/thread/end.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit Hook fork_share_descriptors = nullptr, fork_reset_descriptors = nullptr;

void fork_reserve() {
  G* self = self_g();
  if (!self->wired && self->child_g0 == nullptr) self->child_g0 = gpool_get_system();
}

void fork_prepare() {
  fork_share_descriptors();
  fork_reserve();
  tcb_list_before_fork();
  release_p(enter());
}

void fork_parent() {
  G* self = this_g();
  int saved = errno;
  if (G* g0 = self->child_g0) gpool_put(g0);
  self->child_g0 = nullptr;
  leave();
  enter();  // finds that there is no P
  leave();
  errno = saved;
}

void fork_child() {
  G* self = this_g();
  G* g0 = self->child_g0;
  self->child_g0 = nullptr;
  gpool_reset_after_fork(self);
  // Where there never was another thread nobody waits. Looking costs as much as the fork of a small program.
  if (sched.started.load(std::memory_order_relaxed) || adopted_all != nullptr) waitq_reset_after_fork();
  once_reset_after_fork();
  sched_reset_after_fork(g0);
  fork_reset_descriptors();
  threads_forget_after_fork();
  adopted_forget_after_fork();
  signals_reset_after_fork();
  leave();
}

void fork_init() {
  static constinit std::atomic<bool> done{false};
  if (!done.exchange(true, std::memory_order_relaxed))
    real.__register_atfork(fork_prepare, fork_parent, fork_child, nullptr);
}

}  // namespace mn
