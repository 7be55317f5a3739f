// SPDX-License-Identifier: Apache-2.0
// How the runtime dies when an invariant is broken: one line, the hook's dump, SIGABRT.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include <atomic>

#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/os/syscall.h"

namespace mn {
namespace {

// sysmon and the observer have descriptors of their own, without the program's standard error (sysmon.cc, output.cc):
// they find that by the first thread's.
void say(const Text& line) {
  if (raw_syscall(SYS_write, 2, sys_arg(line.data()), static_cast<long>(line.size())) != -EBADF) return;
  const long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg("/proc/self/fd/2"), O_WRONLY | O_APPEND | O_NOCTTY);
  if (fd >= 0) raw_syscall(SYS_write, fd, sys_arg(line.data()), static_cast<long>(line.size()));
}

}  // namespace

constinit FatalHook fatal_hook = nullptr;

void end_by_signal(int sig) {
  struct {
    void* handler = nullptr;
    unsigned long flags = 0;
    void* restorer = nullptr;
    unsigned long mask = 0;
  } dfl;
  raw_syscall(SYS_rt_sigaction, sig, sys_arg(&dfl), 0, sizeof(unsigned long));
  sys_open_signal(sig);
  raw_syscall(SYS_tgkill, sys_getpid(), sys_gettid(), sig);
  __builtin_trap();
}

MN_COLD void fatal(const char* what, const char* where) {
  static constinit std::atomic<bool> dying{false};
  Text line;
  line << "libmn: fatal: " << what << " (" << where << ")\n";
  say(line);
  if (!dying.exchange(true, std::memory_order_relaxed) && fatal_hook != nullptr) fatal_hook();
  end_by_signal(SIGABRT);  // the program may catch it; this must not return to it
}

}  // namespace mn
