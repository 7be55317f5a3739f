// SPDX-License-Identifier: Apache-2.0
// Timers: one pairing heap per P (Fredman, Sedgewick, Sleator, Tarjan 1986), intrusive, so that a sleeping G's timer
// lies on its own stack and arming one allocates nothing and costs O(1).
//
// A timer is armed by the running G on its P's heap, and cancelled by the same G once it is awake, under the heap's
// lock. It fires with the heap's lock held: when cancel() returns, the timer is not in use any more, whichever came
// first. So the order of locks is heap, then wait-queue bucket, then scheduler.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/clock.h"
#include "runtime/os/lock.h"

namespace mn {

class TimerHeap;

struct Timer {
  int64_t when = 0;                // CLOCK_MONOTONIC, ns
  void (*fire)(Timer*) = nullptr;  // called with the heap locked; may ready Gs, must not arm timers
  TimerHeap* heap = nullptr;       // where it is armed; null: not armed (written under the heap's lock)
  Timer* child = nullptr;
  Timer* sibling = nullptr;
  Timer** link = nullptr;  // what points to this node: the root, a child field or a sibling field
};

class TimerHeap {
 public:
  void arm(Timer* t);
  void cancel(Timer* t);  // no effect when it has fired

  // Fires all timers due at `now`; returns how many.
  int run(int64_t now);

  // When the earliest is due; kForever when there is none. A hint, readable without the lock.
  int64_t next() const { return next_.load(std::memory_order_relaxed); }

  void reset_after_fork() {
    lock_.reset_after_fork();
    root_ = nullptr;
    next_.store(kForever, std::memory_order_relaxed);
  }

 private:
  friend struct Offsets;  // observe/layout.cc

  Timer* meld(Timer* a, Timer* b);
  Timer* meld_children(Timer* first);
  void set_root(Timer* t);

  SpinLock lock_;
  Timer* root_ = nullptr;
  std::atomic<int64_t> next_{kForever};
};

}  // namespace mn
