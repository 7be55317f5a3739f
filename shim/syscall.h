// SPDX-License-Identifier: Apache-2.0
// System calls that a program makes by syscall(), and that we serve: functions of its signature.
#pragma once

#include <errno.h>

namespace mn {

using SystemCall = long(long nr, long a, long b, long c, long d, long e, long f);

// The kernel's answer as syscall() gives it.
inline long syscall_result(long answer) {
  if (answer < 0 && answer >= -4095) {
    errno = static_cast<int>(-answer);
    return -1;
  }
  return answer;
}

// prctl, where libmn acts: -1 with errno (kernel_state.cc).
long prctl_as_thread(int option, long a, long b, long c, long d);

// What io/ has to know of (syscall_fd.cc); null: libc's. `b`: the second argument.
SystemCall* descriptor_call(long nr, long b);

// Signals to this process (syscall_signal.cc); null: libc's.
SystemCall* signal_call(long nr);

SystemCall futex_call;        // SYS_futex
SystemCall futex_waitv_call;  // the calls of Linux 5.16
SystemCall futex_wake_call;   // and 6.7
SystemCall futex_wait_call;
SystemCall futex_requeue_call;
constexpr long kSysFutexWake = 454, kSysFutexWait = 455, kSysFutexRequeue = 456;

}  // namespace mn
