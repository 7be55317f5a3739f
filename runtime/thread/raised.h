// SPDX-License-Identifier: Apache-2.0
// Signals that the kernel raises for the thread that makes a system call: SIGPIPE of a write that nobody will read,
// SIGXFSZ of a file that would become too large. One that the thread blocks stays pending at the kernel thread, where
// the next G may find it that does not block it. So it is taken off there and noted for the G, with which it stays and
// ends, as a signal sent by pthread_kill.
//
//   the call is ours, or libc's by way of us  at once, when the call has failed (raised_by)
//   another's (stdio, a raw system call)      before the next G that opens it runs there (drop_raised). It is dropped:
//                                             whose it was is not known, and it must not be another's
//
// Faults are never blocked. Timers and files that signal one thread by its number bind the thread (kernel_state.h).
#pragma once

#include <errno.h>
#include <signal.h>

#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/sched/sched.h"

namespace mn {

// After a system call of the calling G's that failed with EPIPE or EFBIG, on the same M.
void take_raised(int sig);

// `result` of a system call that writes, which has just been made. Outside.
MN_INLINE long raised_by(long result) {
  if (MN_UNLIKELY(result == -EPIPE)) take_raised(SIGPIPE);
  if (MN_UNLIKELY(result == -EFBIG)) take_raised(SIGXFSZ);
  return result;
}

// It came of what the thread itself did.
bool was_raised(int sig, const siginfo_t* info);

void raised_init();

}  // namespace mn
