// SPDX-License-Identifier: Apache-2.0
// System calls by number, and clone.
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cases.h"

static int CloneChild(void* argument) {
  return *(int*)argument;
}
static void Clone(Function function) {
  static char stack[256 * 1024] __attribute__((aligned(16)));
  int code = 6;
  const pid_t child = CALL_QUIET(clone, CloneChild, stack + sizeof stack, SIGCHLD, &code);
  SAY_CALLED(child > 0);
  CHECK(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
}
static void Syscall(Function function) {
  CHECK(CALL_SIGN(syscall, SYS_getpid) == getpid());
  CHECK(CALL(syscall, SYS_close, -1) == -1 && errno == EBADF);
}
static void SyscallFutex(Function function) {
  const int word = 0;
  const struct timespec soon = {0, 1000000};
  CHECK(CALL(syscall, SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
  CHECK(CALL(syscall, SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0) == -1 && errno == ETIMEDOUT);
  CHECK(CALL(syscall, SYS_futex, NULL, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
  CHECK(CALL(syscall, SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
  CHECK(CALL(syscall, SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
}
static void SyscallSignals(Function function) {
  unsigned long set = 0;
  CHECK(CALL(syscall, SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof set) == 0);
  CHECK(CALL(syscall, SYS_rt_sigaction, 0, NULL, NULL, sizeof set) == -1 && errno == EINVAL);
  CHECK(CALL(syscall, SYS_sigaltstack, NULL, NULL) == 0);
}
static void SyscallSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(CALL(syscall, SYS_nanosleep, &time, NULL) == 0);
  CHECK(CALL(syscall, SYS_sched_yield) == 0);
}
static void SyscallFork(Function function) {
  const pid_t child = (pid_t)CALL_QUIET(syscall, SYS_fork);
  if (child == 0) _exit(7);
  SAY_CALLED(child > 0);
  CHECK(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static const struct Case kCases[] = {
    DECLARED(clone, Clone),
    BY_NAME(__clone, Clone),
    DECLARED(syscall, Syscall),
    {"syscall:futex", SyscallFutex, (Function)syscall},
    {"syscall:signals", SyscallSignals, (Function)syscall},
    {"syscall:sleep", SyscallSleep, (Function)syscall},
    {"syscall:fork", SyscallFork, (Function)syscall},
};

const struct Family kSyscallFamily = FAMILY(kCases);
