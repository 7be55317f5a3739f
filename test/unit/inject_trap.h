// SPDX-License-Identifier: Apache-2.0
// While it lives, a breakpoint instruction makes the code that reaches it call inject_init()'s target.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstdint>

#include "runtime/arch/inject.h"

namespace test {

class InjectOnTrap {
 public:
  InjectOnTrap() {
    struct sigaction action {};
    action.sa_sigaction = OnTrap;
    action.sa_flags = SA_SIGINFO;
    sigfillset(&action.sa_mask);
    sigaction(SIGTRAP, &action, &old_);
  }
  ~InjectOnTrap() { sigaction(SIGTRAP, &old_, nullptr); }
  InjectOnTrap(const InjectOnTrap&) = delete;
  InjectOnTrap& operator=(const InjectOnTrap&) = delete;

  // Of the code that trapped last.
  static uintptr_t stack_pointer() { return stack_pointer_; }

 private:
  static void OnTrap(int, siginfo_t* info, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    stack_pointer_ = static_cast<uintptr_t>(uc->uc_mcontext.gregs[REG_RSP]);
    mn::inject_call(info, uc, true);
  }

  static inline uintptr_t stack_pointer_ = 0;
  struct sigaction old_ {};
};

}  // namespace test
