// SPDX-License-Identifier: Apache-2.0
// Credentials. The kernel has them per kernel thread, POSIX per process: libc's setuid and its family send every kernel
// thread a signal, and each makes the system call (sched/preempt.cc hands it on to libc). libc knows kernel threads by
// their TCBs and leaves out the one whose TCB the caller has, for the caller makes the system call itself. Main has the
// TCB of M0, and may run elsewhere: M0 would be left out. So main calls with the TCB of the M that it is on. The
// others' TCBs are on none of libc's lists; their M gets the signal, too, and makes the call twice.
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

// In a handler of SIGABRT that libc has raised on this thread. Does not return if whoever asks for a change of
// credentials can run the program's handler in its stead.
void abort_by_asker();
// This thread is that one: when the program's handler has returned, the process ends.
bool aborts_for_another();

}  // namespace mn
