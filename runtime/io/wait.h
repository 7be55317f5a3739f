// SPDX-License-Identifier: Apache-2.0
// Waiting for a descriptor.
//
// An operation (a recv, one descriptor of a poll) that has to wait is an FdWait on its thread's stack. From its first
// wait to its end it is linked to the descriptor's state, so that close(2) by another thread finds it: natively a call
// in the kernel keeps its file, whatever happens to the number. There close() leaves the file open under a number of
// ours, to which the FdWaits move (io/close.h).
//
//   events  what it waits for now; 0: it does not, or what it waited for has come. Written under FdState::lock.
//   got     what has come
//   gone    the number was closed behind our back and names another file, or none
//
// Exclusive waits of one direction (accept, read) are served one at a time: natively one event wakes one such thread.
// The one that is served passes the turn on when it waits again or ends. Waiters in one direction want the same events,
// so only those of the first are armed: thousands may wait for one descriptor, and none looks at all the others.
// Watchers (poll) are all told; what they wait for stays armed until it comes.
//
// Lock order: FdState::lock (two of them: by number), then the wait queue's bucket.
#pragma once

#include <cstdint>

#include "runtime/base/list.h"
#include "runtime/io/fd.h"
#include "runtime/os/clock.h"
#include "runtime/sched/g.h"

namespace mn {

struct FdWait {
  explicit FdWait(FdState* s) : state(s) {}

  std::atomic<FdState*> state;
  FdWait* next = nullptr;  // of the same descriptor
  FdWait* prev = nullptr;
  const void* key = nullptr;  // what its thread parks on; the FdWaits of one poll(2) share it
  std::atomic<bool>* fired = nullptr;
  uint32_t events = 0;
  uint32_t got = 0;
  uint8_t turn = kWatchers;  // the queue in which it is, an FdTurn
  bool serving = false;      // it has its turn
  bool exclusive = true;
  bool gone = false;
  bool linked = false;  // its thread alone writes it, and reads it without the lock; not what close() does to move it
  bool kept = false;    // `state` is our duplicate
};

// Outside. Links and arms waits[0..n) and parks until one has what it waits for (`key` and `fired` are theirs in
// common, `want` of the same length); none waits afterwards. 0; ETIMEDOUT; EINTR: a handler ran, or the wait was
// cancelled; EBADF: closed behind our back; EPERM or another: one of them cannot be waited for.
//
// A handler that runs meanwhile ends the operation as far as close() knows; so it does natively, where the number is
// looked up again when the call restarts.
int wait_for_any(FdWait* waits, const uint32_t* want, int n, std::atomic<bool>* fired, const Deadline& deadline);
void end_waits(FdWait* waits, int n);

// The FdWaits of an operation under way, which a handler of the program may leave by a jump.
class FdWaits : Unfinished {
 public:
  FdWaits(FdWait* waits, int n);
  void end();  // must be called, whatever happens

 private:
  FdWait* waits_;
  int n_;
};

// An operation on one descriptor.
class FdOperation {
 public:
  explicit FdOperation(FdState* state) : wait_(state) {}

  // Under which number to go on: the program's, or ours since the program closed it.
  FdState* state() const { return wait_.state.load(std::memory_order_relaxed); }
  uint32_t got() const { return wait_.got; }
  bool gone() const { return wait_.gone; }
  int await(uint32_t events, const Deadline& deadline) { return wait_for_any(&wait_, &events, 1, &fired_, deadline); }
  void end() { waits_.end(); }  // must be called, whatever happens

 private:
  FdWait wait_;
  FdWaits waits_{&wait_, 1};
  std::atomic<bool> fired_{false};
};

// --- for netpoll and close. Inside, with s->lock held; `ended` collects the Gs to be made runnable once it is not.
using GList = Fifo<G, &G::next>;
// These events have come.
void fd_report(FdState* s, uint32_t events, GList* ended);
// Arms anew what is waited for, which shows whether the number still names the same file.
void fd_prove(FdState* s, GList* ended);
// All that wait have to look again, whatever the kernel says of readiness.
void fd_look_again(FdState* s, GList* ended);
// They learn that the number does not name their file any more.
void fd_abandon(FdState* s, GList* ended);
// Moves all operations from one to another, both locked.
void fd_move_waits(FdState* from, FdState* to);

}  // namespace mn
