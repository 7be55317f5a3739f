// SPDX-License-Identifier: Apache-2.0
// Cancellation. libc keeps the state, in the TCB, and unwinds; a thread that runs gets libc's SIGCANCEL on its M, one
// that is parked is made to end its wait and looks itself.
#include "runtime/os/real.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/thread.h"

namespace mn {

int thread_cancel(pthread_t t) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_cancel(t);
  if (g == self_g()) {
    g->cancelled.store(true, std::memory_order_relaxed);
    return real.pthread_cancel(t);
  }
  // Sets the bit in the TCB and readies libc's handler; the signal that it sends goes to no kernel thread.
  real.pthread_cancel(t);
  g->cancelled.store(true, std::memory_order_relaxed);
  g->cancel_poke.store(true, std::memory_order_seq_cst);  // pairs with must_look_up
  enter();
  bool parked = interrupt_wait(g);
  leave();
  M* m = g->m.load(std::memory_order_relaxed);
  if (!parked && g->state == GState::kRunning && m != nullptr)
    raw_syscall(SYS_tgkill, sys_getpid(), m->ktid.load(std::memory_order_relaxed), 32 /* SIGCANCEL */);
  return 0;
}

void cancellation_point() {
  G* g = self_g();
  if (g->cancelled.load(std::memory_order_relaxed)) real.pthread_testcancel();
}

}  // namespace mn
