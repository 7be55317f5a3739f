// SPDX-License-Identifier: Apache-2.0
// Threads that must be kernel threads: a wired G keeps the M it runs on for the rest of its life, parks by sleeping in
// the kernel, and the M ends with it. Needed where the kernel knows threads by their id (robust and
// priority-inheritance mutexes, real-time policies, affinity, credentials and namespaces of one thread), and where
// other processes compare it with theirs: the ids that libmn gives are its own process's only, so two would take
// themselves for the same writer of a shared lock.
#pragma once

#include "runtime/sched/g.h"

namespace mn {

// Outside. Wires the calling thread, if it is not yet, and makes libc see the kernel's thread id.
void thread_wire();

// Whether main, the caller, is the process's only thread, once the runtime's own have ended, which it sees to
// (sched_stop): what it changes for its kernel thread all later ones inherit. Outside.
bool main_is_alone();

// What the kernel does when a thread ends: robust mutexes that it still holds go to the next with EOWNERDEAD. The
// thread is reported dead before its kernel thread has ended, so it cannot be left to the kernel.
void release_robust_mutexes(G* g);

}  // namespace mn
