// SPDX-License-Identifier: Apache-2.0
// A handler of libmn's that stands where a signal's default action would, unseen by the program: sigaction says
// SIG_DFL. A handler that the program sets, or SIG_IGN, takes its place; SIG_DFL brings it back. There is one at most.
#pragma once

#include <signal.h>

namespace mn {

using SignalHandler = void (*)(int, siginfo_t*, void*);

// Takes effect at once if the process leaves the signal at its default.
void stand_in(int sig, SignalHandler handler);

extern int stand_in_signal;  // 0: none

// The action to give to the kernel for SIG_DFL; null: SIG_DFL itself.
const struct sigaction* stand_in_for(int sig);

// Whether the kernel has it now.
bool stands_in(int sig);

// What the program is to see of an action that the kernel has.
void hide_stand_in(struct sigaction* action);

}  // namespace mn
