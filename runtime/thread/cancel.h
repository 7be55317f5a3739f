// SPDX-License-Identifier: Apache-2.0
// For code that must not be unwound in the middle, and for signal.cc; cancel.cc has the rules.
#pragma once

#include "runtime/sched/g.h"

namespace mn {

// Gives signal 32 a handler that does nothing unless the thread is being cancelled. Before the signal is sent for
// anything else (sigwait.cc).
void cancel_signal_is_harmless();

// A cancellation of g has come that it has not acted upon.
inline bool cancel_noted(const G* g) {
  return g->cancel_due || (g->sigpend.load(std::memory_order_relaxed) & kCancelBit) != 0;
}

// The bit is set and the G is leaving libmn.
void cancel_arrived(G* g);

// Between the two the calling thread, which has something to put right, acts on an asynchronous cancellation at
// cancellation_point() only; and in the end. They nest. A thread that is unwound in between forgets them all.
inline void cancel_hold() {
  ++this_g()->cancel_held;
}
void cancel_act(G* g);
inline void cancel_release() {
  G* g = this_g();
  if (--g->cancel_held != 0) return;
  // The next leave() would find it, too; but the next may be long after a signal that came while it was held.
  if (MN_UNLIKELY(cancel_noted(g))) cancel_act(g);
}
// Outside, held. An asynchronous one acts.
inline void cancel_if_due() {
  G* g = this_g();
  if (MN_UNLIKELY(g->cancel_due)) cancel_act(g);
}
inline void cancel_unwound() {
  this_g()->cancel_held = 0;
}

// A call of libc's that may block, in between: unwinding is provided for.
template <class Call>
auto cancel_allowed(Call call) {
  G* g = this_g();
  uint16_t held = g->cancel_held;
  g->cancel_held = 0;
  auto result = call();
  g->cancel_held = held;
  return result;
}

}  // namespace mn
