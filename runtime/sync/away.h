// SPDX-License-Identifier: Apache-2.0
// What stands in a queue for a member (member.h) whose thread runs a signal handler. It does not lie on the thread's
// stack, for a handler may leave in ways that no guard sees (setcontext, a changed ucontext): then it stays, takes a
// wake-up that nobody else wants, and is forgotten when the thread ends, or is about to have many.
#pragma once

#include "runtime/sync/waitq.h"

namespace mn {

struct Away : Waiter {
  Away* outer = nullptr;        // G::away
  const void* frame = nullptr;  // where the waiter was that it stands for
};

// All inside; a bucket may be locked, except in the two that forget. A copy of `w`, of the calling thread, linked to
// its G; not in a queue yet. Null: no memory.
Away* new_away(const Waiter* w);
// Of the calling thread, and in no queue any more.
void free_away(Away* away);
// The same of one that may be queued: the wait is given up.
void forget_away(Away* away);
// Those that handlers of g, which ends, have left by a jump. What their waits counted may not be there any more.
void forget_aways(G* g);
void aways_reset_after_fork();

// For wait_on(). A member that was interrupted leaves something in the queue in its stead, and stays kAway. Unless it
// was woken meanwhile; or there is no memory: then it has left, as if it were not a member. No bucket is locked.
void go_away(Waiter* w);
// It has run its handlers and takes its place in the queue again. False: its wait is over. With the bucket locked.
bool come_back(Bucket* b, Waiter* w, Away* away);

}  // namespace mn
