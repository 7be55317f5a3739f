// SPDX-License-Identifier: Apache-2.0
// fork. The child has one thread, the caller's G on a copy of its M; all other Gs, Ms and Ps' queues are forgotten, as
// libc forgets its threads. The handlers are registered before the program's own: `prepare` runs last and `child`
// first.
//
//   prepare  goes inside and takes the locks whose data the child must find whole: the slot pools'. The slot that the
//            child's scheduler is to run on is made before: that takes a lock of ld.so's, which another thread may
//            hold, and only libc's own fork() gives the child a free one
//   child    resets what other Ms may have been changing; the creator and sysmon are started again when the child
//            creates its first thread
#include "runtime/thread/fork.h"

#include <pthread.h>

#include "runtime/os/real.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/once.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/end.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit Hook fork_share_descriptors = nullptr, fork_reset_descriptors = nullptr;

namespace {

constinit G* g_child_g0 = nullptr;  // while the pools are locked

}  // namespace

void fork_prepare() {
  fork_share_descriptors();
  G* g0 = self_g()->wired ? nullptr : gpool_get_system();
  enter();
  gpool_lock_all();
  g_child_g0 = g0;
}

void fork_parent() {
  G* g0 = g_child_g0;
  gpool_unlock_all();
  if (g0 != nullptr) gpool_put(g0);
  leave();
}

void fork_child() {
  gpool_unlock_all();
  waitq_reset_after_fork();
  once_reset_after_fork();
  sched_reset_after_fork(g_child_g0);
  fork_reset_descriptors();
  threads_forget_after_fork();
  adopted_forget_after_fork();
  signals_reset_after_fork();
  leave();
}

void fork_init() {
  ::pthread_atfork(fork_prepare, fork_parent, fork_child);
}

}  // namespace mn
