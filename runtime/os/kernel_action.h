// SPDX-License-Identifier: Apache-2.0
// What handles a signal, as the kernel has it: for libc's own signals, which its sigaction() refuses.
#pragma once

#include <cstdint>

#include "runtime/os/syscall.h"

namespace mn {

constexpr unsigned long kRestorer = 0x04000000;  // SA_RESTORER, asm/signal.h

struct KernelAction {  // Linux struct sigaction, as rt_sigaction(2) takes it
  void* handler;
  unsigned long flags;
  void* restorer;
  uint64_t mask;

  // Without a handler of libc's there is no return trampoline to borrow.
  bool has_handler() const { return (flags & kRestorer) != 0 && reinterpret_cast<uintptr_t>(handler) > 1; }
};

inline long kernel_action(int sig, const KernelAction* action, KernelAction* old) {
  return raw_syscall(SYS_rt_sigaction, sig, sys_arg(action), sys_arg(old), sizeof(uint64_t));
}

}  // namespace mn
