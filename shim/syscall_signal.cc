// SPDX-License-Identifier: Apache-2.0
// Signals that the program sends to its own process by system calls of its own, or by libc's function for a descriptor
// of a process: as with kill(), a thread that sends one and may take it has handled it when the call returns.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "runtime/base/text.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/signal.h"
#include "shim/shim.h"
#include "shim/syscall.h"

using namespace mn;

namespace {

constexpr size_t kInfoSize = 512;

// Whose descriptor it is, as /proc says; 0: not known.
pid_t process_of(int fd) {
  constexpr char kField[] = "\nPid:\t";
  Text path;
  path << "/proc/self/fdinfo/" << fd;
  long info = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(path.c_str()), O_RDONLY | O_CLOEXEC, 0);
  if (info < 0) return 0;
  char text[kInfoSize] = {};
  raw_syscall(SYS_read, info, sys_arg(text), sizeof text - 1);
  raw_syscall(SYS_close, info);
  const char* at = strstr(text, kField);
  if (at == nullptr) return 0;
  pid_t pid = 0;
  for (at += sizeof kField - 1; *at >= '0' && *at <= '9'; ++at) pid = pid * 10 + (*at - '0');
  return pid;
}

// 0 or errno; -1: the kernel is to send it.
int send_to_self(pid_t pid, int sig, long info) {
  if (pid != own_pid()) return -1;
  if (info == 0) return signal_process(pid, sig, nullptr);
  siginfo_t copy;
  enter();
  bool good = copy_memory(&copy, reinterpret_cast<const void*>(info), sizeof copy);
  leave();
  if (!good || copy.si_code != SI_QUEUE || copy.si_pid != pid) return -1;
  return signal_process(pid, sig, &copy.si_value);
}

long sent(int error, long nr, long a, long b, long c, long d) {
  return syscall_result(error >= 0 ? -error : raw_syscall(nr, a, b, c, d));
}

long kill_call(long nr, long pid, long sig, long c, long d, long, long) {
  return sent(send_to_self(static_cast<pid_t>(pid), static_cast<int>(sig), 0), nr, pid, sig, c, d);
}
long queue_call(long nr, long pid, long sig, long info, long d, long, long) {
  int error = info == 0 ? -1 : send_to_self(static_cast<pid_t>(pid), static_cast<int>(sig), info);
  return sent(error, nr, pid, sig, info, d);
}
long pidfd_call(long nr, long fd, long sig, long info, long flags, long, long) {
  bool caught = sig > 0 && sig <= SIGRTMAX && signal_is_caught(static_cast<int>(sig)) && flags == 0;
  int error = caught ? send_to_self(process_of(static_cast<int>(fd)), static_cast<int>(sig), info) : -1;
  return sent(error, nr, fd, sig, info, flags);
}

}  // namespace

namespace mn {

SystemCall* signal_call(long nr) {
  switch (nr) {
    case SYS_kill:
      return kill_call;
    case SYS_rt_sigqueueinfo:
      return queue_call;
    case SYS_pidfd_send_signal:
      return pidfd_call;
    default:
      return nullptr;
  }
}

}  // namespace mn

MN_SHIM int pidfd_send_signal(int fd, int sig, siginfo_t* info, unsigned flags) noexcept {
  if (!on()) return static_cast<int>(syscall_result(raw_syscall(SYS_pidfd_send_signal, fd, sig, sys_arg(info), flags)));
  return static_cast<int>(pidfd_call(SYS_pidfd_send_signal, fd, sig, sys_arg(info), flags, 0, 0));
}
