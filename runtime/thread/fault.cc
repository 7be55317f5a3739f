// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/fault.h"

#include "runtime/arch/probe.h"
#include "runtime/os/real.h"
#include "runtime/os/syscall.h"

namespace mn {

bool probe_recovered(int sig, void* ucontext) {
  return may_be_probe(sig) && probe_recover(ucontext);
}

void die_of(int sig, const siginfo_t* info) {
  struct sigaction standard {};
  real.sigaction(sig, &standard, nullptr);
  if (!synchronous(sig, info)) raw_syscall(SYS_tgkill, sys_getpid(), sys_gettid(), sig);
}

}  // namespace mn
