// SPDX-License-Identifier: Apache-2.0
// Signals of faults. libmn has a handler of SIGSEGV and SIGBUS even where the program leaves them alone, for accesses
// of ours that may fault (arch/probe.h). When they turn out to be something else it takes their default action, by
// putting that in place. A program that ignores them, or sets a handler past libmn, gets them for a bad address that it
// gives to a system call that we serve, instead of EFAULT.
#pragma once

#include <signal.h>

#include "runtime/os/syscall.h"

namespace mn {

inline bool synchronous(int sig, const siginfo_t* info) {
  bool fault = sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP || sig == SIGSYS;
  return fault && info->si_code > 0;
}

// libc's abort(), or as good as.
inline bool is_own_abort(int sig, const siginfo_t* info) {
  return sig == SIGABRT && info->si_code == SI_TKILL && info->si_pid == sys_getpid();
}

inline bool is_function(const struct sigaction* a) {
  return a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN;
}

inline bool may_be_probe(int sig) {
  return sig == SIGSEGV || sig == SIGBUS;
}

// In a handler: it was a probe's, which has been told.
bool probe_recovered(int sig, void* ucontext);

// The default action of a signal that may be a probe's and was not. A fault comes again when its handler returns; what
// was sent is sent again.
void die_of(int sig, const siginfo_t* info);

}  // namespace mn
