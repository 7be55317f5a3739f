// SPDX-License-Identifier: Apache-2.0
// Preemption: a G that computes gives way when others wait, every MN_PREEMPT_MS. preempt.cc has the essay.
#pragma once

#include <atomic>
#include <cstdint>

namespace mn {

struct M;

// Of an M. `asked` is set by sysmon, before it has the signal sent, and cleared by the handler on the M, or by sysmon
// when the handler did not run for long. `tick` is the P's when sysmon asked: a later one means that the G gave way by
// itself. `timer` belongs to sysmon and, when sysmon does not know the M any more, to its end.
struct PreemptRequest {
  std::atomic<bool> asked{false};
  std::atomic<uint32_t> tick{0};
  std::atomic<int> timer{-1};  // the kernel's id

  void reset_after_fork() {
    asked.store(false, std::memory_order_relaxed);
    timer.store(-1, std::memory_order_relaxed);  // timers are not inherited
  }
};

// Finds out what must not be interrupted, and how to save the CPU's state.
void preempt_init();
// When libc's helper thread has been made, and libc's handler with it: takes over the signal. False: there will be no
// preemption.
bool preempt_start();
// By sysmon: m's G, which runs since `tick` of its P, is to give way. An M without a P: whatever it runs.
void preempt_ask(M* m, uint32_t tick);
// Whether the kernel keeps trying until the G can be interrupted; otherwise sysmon has to ask again.
bool preempt_persists(const M* m);
// m's kernel thread ends.
void preempt_forget(M* m);

// Whether the running G should give way: it is still the one that was meant, and somebody waits. Inside.
bool preempt_due(const M* m);
bool somebody_waits();

// A call that the kernel ended with EINTR and for which no handler of the program's ran was ended by preemption if
// G::preempt_signals has changed: it is to be made again. It takes a kernel that has no posix_cpu_timers_work (before
// Linux 5.10, or MN_DISABLE=cpu_timers); elsewhere the signal never ends a call.

}  // namespace mn
