// SPDX-License-Identifier: Apache-2.0
// How the runtime dies when an invariant is broken: one line, the hook's dump, SIGABRT.
#include <signal.h>

#include <atomic>

#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/os/syscall.h"

namespace mn {

constinit FatalHook fatal_hook = nullptr;

void end_by_signal(int sig) {
  struct {
    void* handler = nullptr;
    unsigned long flags = 0;
    void* restorer = nullptr;
    unsigned long mask = 0;
  } dfl;
  unsigned long unblock = 1ul << (sig - 1);
  raw_syscall(SYS_rt_sigaction, sig, sys_arg(&dfl), 0, sizeof(unsigned long));
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, sys_arg(&unblock), 0, sizeof(unsigned long));
  raw_syscall(SYS_tgkill, sys_getpid(), sys_gettid(), sig);
  __builtin_trap();
}

MN_COLD void fatal(const char* what, const char* where) {
  static constinit std::atomic<bool> dying{false};
  Text line;
  line << "libmn: fatal: " << what << " (" << where << ")\n";
  write_stderr(line.data(), line.size());
  if (!dying.exchange(true, std::memory_order_relaxed) && fatal_hook != nullptr) fatal_hook();
  end_by_signal(SIGABRT);  // the program may catch it; this must not return to it
}

}  // namespace mn
