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

// As wait_on(); EINTR: the thread was cancelled, or there was no memory. When handlers run they do so here, outside.
// They may leave by unwinding (a cancellation, an exception): then `undo` runs, outside, and the wait is given up.
int wait_as_member(const void* key, const WaitOptions& how, WaitHooks& hooks, void (*undo)(void*), void* undo_arg);

}  // namespace mn
