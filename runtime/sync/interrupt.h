// SPDX-License-Identifier: Apache-2.0
// What to make of a wait that a signal or a cancellation ended (EINTR), for calls that are no cancellation points.
#pragma once

#include "runtime/os/tcb.h"
#include "runtime/sched/g.h"

namespace mn {

class Interruption {
 public:
  // Before the wait; of the calling G.
  explicit Interruption(const G* g)
      : g_(g), run_(g->handlers_run), abrupt_(g->handlers_run_abrupt), preemptions_(g->preempt_signals) {}

  // Outside, after it. True: it is over, for handlers ran; with `restarts`, for one without SA_RESTART ran.
  bool ends_wait(bool restarts) const {
    return restarts ? g_->handlers_run_abrupt != abrupt_ : g_->handlers_run != run_;
  }

  // The kernel said EINTR, but nothing came that the program knows of: the call is to be made again.
  bool only_preempted() const {
    return g_->preempt_signals != preemptions_ && g_->handlers_run == run_ &&
           (!g_->cancelled.load(std::memory_order_relaxed) || tcb_cancel_disabled(g_->tp));
  }

 private:
  const G* g_;
  uint32_t run_, abrupt_, preemptions_;
};

}  // namespace mn
