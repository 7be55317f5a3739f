// SPDX-License-Identifier: Apache-2.0
// Child processes, and the threads that the kernel knows as their parents. Linux has a parent thread for each: only
// that thread may be the tracer that PTRACE_TRACEME names, its end sends the child's PR_SET_PDEATHSIG, and __WNOTHREAD
// and __WCLONE ask for its children alone. So a thread that has a living child of fork() stays wired to the kernel
// thread on which it forked, and moves again when the last of them was waited for. (The child of vfork or posix_spawn
// executes another program before its parent goes on; its parent is wired until then, and longer if the child asked to
// be traced or for the signal: shim/vfork.cc.)
#pragma once

#include <sys/types.h>

namespace mn {

struct G;

// The calling thread, wired since fork_prepare, has this child. Outside.
void parent_of(pid_t child);

// Somebody has waited for a child that has ended. Outside. False: it is none of those of parent_of.
bool child_reaped(pid_t child);

// The calling thread is unwired if nothing binds it to its kernel thread. Outside.
void parent_may_move();

// g, the caller, ends; its children live on. Inside.
void children_orphaned(G* g);

void children_forget_after_fork();

}  // namespace mn
