// SPDX-License-Identifier: Apache-2.0
// Asking a kernel thread for its registers and its stack while it runs: by the signal of MN_DUMP_SIGNAL, marked.
#pragma once

#include <signal.h>

#include "runtime/observe/stack.h"
#include "runtime/sched/g.h"

namespace mn {

// What a kernel thread is doing, from /proc.
struct Doing {
  bool known = false;
  bool asleep = false;  // in the kernel; the rest is meaningful then
  long system_call = -1;
  uint64_t sp = 0, pc = 0;
};
Doing what_does(int ktid);

// Interrupts it, for the time of a copy. A system call that it sleeps in may end with EINTR. False: no answer in time,
// or there is no signal to ask with. *who is the G that it runs, null when it has none. One caller at a time.
bool ask(int ktid, StackCopy* into, G** who);

// For the signal's handler: whether it was a question, which it has answered then.
bool answer(const siginfo_t* info, const void* context);

void ask_by(int sig);

}  // namespace mn
