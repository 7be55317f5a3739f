// SPDX-License-Identifier: Apache-2.0
// Credentials. The kernel has them per kernel thread, POSIX per process: libc's setuid and its family send every kernel
// thread a signal, and each makes the system call (sched/preempt.cc hands it on to libc). libc knows kernel threads by
// their TCBs and leaves out the one whose TCB the caller has, for the caller makes the system call itself. Main has the
// TCB of M0, and may run elsewhere: M0 would be left out. So main calls with the TCB of the M that it is on. The
// others' TCBs are on none of libc's lists; their M gets the signal, too, and makes the call twice.
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

}  // namespace mn
