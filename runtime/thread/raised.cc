// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/raised.h"

#include "runtime/thread/note.h"
#include "runtime/thread/signal.h"

namespace mn {
namespace {

// Hook of the scheduler: m, whose kernel thread may hold some of `signals`, is about to run a G that opens them. What
// was sent to the process is for others. Inside.
void drop_raised(uint64_t signals) {
  uint64_t pending = 0;
  raw_syscall(SYS_rt_sigpending, sys_arg(&pending), 8);
  pending &= signals;
  siginfo_t info;
  while (pending != 0) {
    int sig = signal_take_pending(pending, &info);
    if (sig == 0) return;
    if (was_raised(sig, &info)) continue;
    note_signal(kProcess, sig, &info, Sent::kToProcess);
    process_signals.fetch_or(bit(sig), std::memory_order_seq_cst);  // pairs with route
  }
}

}  // namespace

bool was_raised(int sig, const siginfo_t* info) {
  return (sig == SIGPIPE || sig == SIGXFSZ) && info->si_code == SI_USER && info->si_pid == own_pid();
}

void take_raised(int sig) {
  G* g = this_g();
  if (g == nullptr || g->bound || in_vfork_child() || (g->sigmask & bit(sig)) == 0) return;
  int saved = errno;
  siginfo_t info;
  if (signal_take_pending(bit(sig), &info) == sig) note_signal(g, sig, &info, Sent::kToThread);
  errno = saved;
}

void raised_init() {
  drop_raised_signals = drop_raised;
}

}  // namespace mn
