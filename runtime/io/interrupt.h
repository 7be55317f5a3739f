// SPDX-License-Identifier: Apache-2.0
// Whether a signal handler that ran since ends a call with EINTR (signal(7)).
#pragma once

#include "runtime/thread/thread.h"

namespace mn {

class Interruption {
 public:
  Interruption() : all_(self_g()->handlers), hard_(this_g()->hard_handlers) {}
  bool any() const { return this_g()->handlers != all_; }
  // `restarts`: SA_RESTART lets the call go on.
  bool ended_call(bool restarts) const { return restarts ? this_g()->hard_handlers != hard_ : any(); }

 private:
  uint32_t all_, hard_;
};

}  // namespace mn
