// SPDX-License-Identifier: Apache-2.0
// Waits that a signal handler does not end: on condition variables, where libc's waiter goes on waiting, and on
// barriers, where it is counted already.
//
// Such a thread stays in the queue while its handler runs. Otherwise it would miss a signal or the end of its round
// meanwhile, and would have to look for it in an object that is gone: whoever got the last word may destroy and unmap
// it (POSIX), although others are on their way out. So what tells it is in the queue, not in the object:
//
//   kQueued --- something to look up ---> kAway (its G is made runnable, and runs the handler)
//   kAway ----- a waker takes it off ---> kWoken: the wait is over, and the thread learns so when its handler returns
//   kAway ----- the handler returns ----> kQueued, in the same place; or its time is over, or it is cancelled
//
// A waker prefers those who are parked, for a handler may take long, or wait for one of them.
#pragma once

#include "runtime/sync/waitq.h"

namespace mn {

// What to do when a handler is left by a jump or by unwinding; called outside.
struct OnLeaving {
  void (*undo)(void* arg);
  void* arg;
};

// Not by WaitOptions, which a caller that never gets here need not have in memory.
int wait_after_handlers(const void* key, Deadline deadline, uint32_t* counter, WaitKind kind, Stays stays, OnLeaving l);

// As wait_on(); EINTR: the thread was cancelled, or there was no memory. When handlers run they do so here, outside;
// when one is left the wait is given up, before `undo`.
MN_INLINE int wait_as_member(const void* key, const WaitOptions& how, WaitHooks& hooks, OnLeaving l) {
  int result = wait_on(key, how, hooks);
  if (MN_LIKELY(result != kWentAway)) return result;
  return wait_after_handlers(key, how.deadline, how.counter, how.kind, how.stays, l);
}

}  // namespace mn
