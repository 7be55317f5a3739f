// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/exec.h"

#include <signal.h>

#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/note.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/route.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {

uint64_t exec_begin() {
  G* g = self_g();
  if (g->vforked) return 0;
  uint64_t due = g->sigpend.load(std::memory_order_relaxed) & g->sigmask & ~(kCancelBit | kPolicyBit);
  uint64_t given = 0;
  siginfo_t info;
  while (int sig = signal_take(g, due, &info)) {
    given |= bit(sig);
    raw_syscall(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(), sig, sys_arg(&info));
  }
  if ((process_signals.load(std::memory_order_relaxed) | held_signals.load(std::memory_order_relaxed)) != 0)
    noted_to_kernel();
  return given;
}

// On the same kernel thread: what it was given it has still.
void exec_failed(uint64_t given) {
  siginfo_t info;
  while (int sig = given != 0 ? signal_take_pending(given, &info) : 0)
    note_signal(this_g(), sig, &info, Sent::kToThread);
}

}  // namespace mn
