// SPDX-License-Identifier: Apache-2.0
// Credentials. The kernel has them per kernel thread, POSIX per process: libc's setuid and its family send every kernel
// thread a signal, and each makes the system call (sched/preempt.cc hands it on to libc). libc knows kernel threads by
// the TCBs on its lists, and asks until each of these says that it was answered. It leaves out the caller's TCB, for
// the caller makes the system call itself; our caller's kernel thread is asked all the same, and makes it twice. The
// TCBs:
//
//   an M's, made by libc   names its kernel thread
//   the first M's g0's     names the process's first kernel thread, once the scheduler runs (begin_main, start.cc)
//   main's                 names the first kernel thread, too, or the one that main is bound to (wire.cc), which
//                          answers for it after its own
//   other Gs'              name nobody, or are on none of the lists (tcb_list.h)
//
// So the first kernel thread is asked wherever main is, and after main's end. Rejected: that main, when it runs
// elsewhere, calls with the TCB of the M that it is on, so that libc asks main's. libc's own callers (initgroups) know
// nothing of that, main's TCB may name another kernel thread, and libc asks no TCB whose thread has ended.
//
// When the threads disagree on whether the change may be made libc aborts, on any of them. That may be sysmon, where a
// handler of SIGABRT would find none of the process's descriptors; it has whoever asked for the change run it.
//
// What Linux lets a thread change for itself alone (setfsuid, unshare, the system calls by number) belongs to a kernel
// thread of its own: thread_wire().
#pragma once

#include <utility>

namespace mn {

// Makes call(arg), one of libc's that returns -1 with errno.
int change_credentials(int (*call)(void* arg), void* arg);

template <class Call>
int change_credentials(Call call) {
  return change_credentials([](void* c) { return (*static_cast<Call*>(c))(); }, &call);
}

// Main, the caller, ends, and so does its kernel thread: libc asks it no more. What has been asked is answered before
// this returns, or libc would wait for it, unless main ends by the system call (`raw`): main itself may then be in the
// midst of a set*id, in a handler. Outside.
void main_not_asked(bool raw);

// In a handler of SIGABRT that libc has raised on this thread. Does not return if whoever asks for a change of
// credentials can run the program's handler in its stead.
void abort_by_asker();
// This thread is that one: when the program's handler has returned, the process ends.
bool aborts_for_another();

}  // namespace mn
