// SPDX-License-Identifier: Apache-2.0
// Calls the program's handlers (handler.cc has the rules).
#pragma once

#include <signal.h>

#include "runtime/sched/g.h"

namespace mn {

// Calls the handler of sig; without one the process dies of sig if it is one that probes handle (fault.h).
void call_handler(int sig, siginfo_t* info, void* uc);
// The same in a child of vfork. The kernel itself calls the child's own handlers; those of its parent come here.
void call_in_vfork_child(int sig, siginfo_t* info, void* uc);
// The same on g, the caller. An alternate stack that the handler sets ends with it, as after sigreturn.
void call_handler_on(G* g, int sig, siginfo_t* info, void* uc);

}  // namespace mn
