// SPDX-License-Identifier: Apache-2.0
// Threads that must be kernel threads: a wired G keeps the M it runs on for the rest of its life, parks by sleeping in
// the kernel, and the M ends with it. Needed where the kernel knows threads by their id (robust and
// priority-inheritance mutexes, real-time policies, affinity, credentials and namespaces of one thread), and where
// other processes compare it with theirs: the ids that libmn gives are its own process's only, so two would take
// themselves for the same writer of a shared lock.
#pragma once

#include "runtime/sched/g.h"

namespace mn {

// A kernel thread of its own, whose id is in its TCB: libc's functions and the kernel know it.
bool is_kernels(const G* g);

// Outside. Wires the calling thread, if it is not yet, and makes libc see the kernel's thread id.
void thread_wire();

// Whether main, the caller, is the process's only thread, once the runtime's own have ended, which it sees to
// (sched_stop): what it changes for its kernel thread all later ones inherit. Outside.
bool main_is_alone();

// The calling thread, which is wired, ends. Its robust mutexes are the kernel's to give to others, with EOWNERDEAD,
// when the kernel thread ends: those with priority inheritance have waiters that only the kernel knows. But the thread
// is dead for its joiner before that, and its TCB, where the list begins, may be another thread's by then. So the list
// moves to the TCB that libc made for the kernel thread, and ends in a word of the G's own, of which the kernel says
// that its owner has died as of the others, after them. Who joins waits for that.
//
// The same of what the program has registered with the kernel for the thread: the kernel is to write nothing any more
// where another thread may live.
void leave_kernel_thread(G* g);
void await_kernels_word(G* g);

}  // namespace mn
