// SPDX-License-Identifier: Apache-2.0
// Signals and jumps.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cases.h"

// Signals

static volatile sig_atomic_t handled;
static void Handle(int signal) {
  handled += signal;
}

static void SigMask(Function function) {
  sigset_t set;
  sigset_t old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(CALL(pthread_sigmask, SIG_BLOCK, &set, NULL) == 0);
  CHECK(CALL(pthread_sigmask, SIG_UNBLOCK, &set, &old) == 0);
  CHECK(sigismember(&old, SIGUSR1) == 1);
}
static void SigAction(Function function) {
  struct sigaction action = {.sa_handler = Handle};
  CHECK(CALL(sigaction, SIGUSR1, &action, NULL) == 0);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(handled == SIGUSR1);
  CHECK(CALL(sigaction, 1000, &action, NULL) == -1 && errno == EINVAL);
}
// As a program does before it executes another.
static void SigActionResets(Function function) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  CHECK(CALL(sigaction, SIGURG, &action, NULL) == 0);
  CHECK(sigaction(SIGURG, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  CHECK(raise(SIGURG) == 0);
}
static void Signal(Function function) {
  CHECK(CALL(signal, SIGUSR1, Handle) == SIG_DFL);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(handled == SIGUSR1);
}
static void SigSet(Function function) {
  CHECK(CALL_AS((__sighandler_t(*)(int, __sighandler_t))function, SIGUSR1, Handle) == SIG_DFL);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(handled == SIGUSR1);
}
static void SigHold(Function function) {
  sigset_t set;
  CHECK(CALL_AS((int (*)(int))function, SIGUSR1) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 1);
}
static void SigRelse(Function function) {
  sigset_t set;
  CHECK(CALL_AS((int (*)(int))function, SIGUSR1) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 0);
}
static void SigIgnore(Function function) {
  CHECK(CALL_AS((int (*)(int))function, SIGUSR1) == 0);
  CHECK(raise(SIGUSR1) == 0);
}
static void SigInterrupt(Function function) {
  CHECK(CALL_AS((int (*)(int, int))function, SIGUSR1, 1) == 0);
}
static void SigBlock(Function function) {
  sigset_t set;
  CHECK(CALL_AS((int (*)(int))function, 1 << (SIGUSR1 - 1)) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 1);
}
static void SigGetMask(Function function) {
  CHECK(CALL_AS((int (*)(void))function) == 0);
}
static void SigAltStack(Function function) {
  static char memory[64 * 1024];
  const stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
  stack_t old;
  CHECK(CALL(sigaltstack, &stack, NULL) == 0);
  CHECK(CALL(sigaltstack, NULL, &old) == 0);
  CHECK(old.ss_sp == memory);
}
static void SigPending(Function function) {
  sigset_t set;
  CHECK(CALL(sigpending, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 0);
}
// Blocks SIGUSR1 and makes it pending for this thread.
static sigset_t MakePending(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(raise(SIGUSR1) == 0);
  return set;
}
static void SigSuspend(Function function) {
  MakePending();
  CHECK(signal(SIGUSR1, Handle) == SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  CHECK(CALL(sigsuspend, &none) == -1 && errno == EINTR);
  CHECK(handled == SIGUSR1);
}
static void SigPause(Function function) {
  MakePending();
  CHECK(signal(SIGUSR1, Handle) == SIG_DFL);
  CHECK(CALL_AS((int (*)(int))function, SIGUSR1) == -1 && errno == EINTR);
  CHECK(handled == SIGUSR1);
}
static void SigPauseBeneath(Function function) {
  MakePending();
  CHECK(signal(SIGUSR1, Handle) == SIG_DFL);
  CHECK(CALL_AS((int (*)(int, int))function, SIGUSR1, 1) == -1 && errno == EINTR);
  CHECK(handled == SIGUSR1);
}
static pthread_t pauser;
static volatile sig_atomic_t paused;
static void* EndPause(void* unused) {
  while (!paused) {
    CHECK(pthread_kill(pauser, SIGUSR1) == 0);
    usleep(1000);
  }
  return unused;
}
static void Pause(Function function) {
  pthread_t thread;
  pauser = pthread_self();
  CHECK(signal(SIGUSR1, Handle) == SIG_DFL);
  CHECK(pthread_create(&thread, NULL, EndPause, NULL) == 0);
  CHECK(CALL(pause) == -1 && errno == EINTR);
  CHECK(handled != 0);
  paused = 1;
  CHECK(pthread_join(thread, NULL) == 0);
}
static void SigWait(Function function) {
  const sigset_t set = MakePending();
  int signal = 0;
  CHECK(CALL(sigwait, &set, &signal) == 0 && signal == SIGUSR1);
}
static void SigWaitInfo(Function function) {
  const sigset_t set = MakePending();
  siginfo_t info;
  CHECK(CALL(sigwaitinfo, &set, &info) == SIGUSR1 && info.si_signo == SIGUSR1);
}
static void SigTimedWait(Function function) {
  const sigset_t set = MakePending();
  const struct timespec now = {0, 0};
  CHECK(CALL(sigtimedwait, &set, NULL, &now) == SIGUSR1);
  CHECK(CALL(sigtimedwait, &set, NULL, &now) == -1 && errno == EAGAIN);
}
static void Raise(Function function) {
  CHECK(CALL(raise, SIGWINCH) == 0);
}
static void SigQueue(Function function) {
  const union sigval value = {.sival_int = 7};
  CHECK(CALL(sigqueue, getpid(), SIGWINCH, value) == 0);
}
static void PidfdSendSignal(Function function) {
  const int process = (int)syscall(SYS_pidfd_open, getpid(), 0);
  CHECK(process != -1);
  CHECK(CALL_AS((int (*)(int, int, siginfo_t*, unsigned))function, process, SIGWINCH, NULL, 0) == 0);
  CHECK(CALL_AS((int (*)(int, int, siginfo_t*, unsigned))function, -1, SIGWINCH, NULL, 0) == -1 && errno == EBADF);
}
static void KillProcess(Function function) {
  CHECK(CALL(kill, getpid(), SIGWINCH) == 0);
}

// Jumps

static void LongJump(Function function) {
  jmp_buf buffer;
  volatile int jumps = 0;
  if (setjmp(buffer) == 0) {
    ++jumps;
    CALL_VOID_AS((void (*)(struct __jmp_buf_tag*, int))function, buffer, 1);
    CHECK(0);
  }
  CHECK(jumps == 1);
}
static void SigLongJump(Function function) {
  sigjmp_buf buffer;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (sigsetjmp(buffer, 1) == 0) {
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    CALL_VOID_AS((void (*)(struct __jmp_buf_tag*, int))function, buffer, 1);
    CHECK(0);
  }
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 0);
}
static const struct Case kCases[] = {
    DECLARED(pthread_sigmask, SigMask),
    DECLARED(sigprocmask, SigMask),
    DECLARED(sigaction, SigAction),
    {"sigaction:resets", SigActionResets, (Function)sigaction},
    BY_NAME(__sigaction, SigAction),
    BY_NAME(__libc_sigaction, SigAction),
    DECLARED(signal, Signal),
    DECLARED(ssignal, Signal),
    BY_NAME(bsd_signal, Signal),
    DECLARED(sysv_signal, Signal),
    BY_NAME(__sysv_signal, Signal),
    BY_NAME(sigset, SigSet),
    BY_NAME(sighold, SigHold),
    BY_NAME(sigrelse, SigRelse),
    BY_NAME(sigignore, SigIgnore),
    BY_NAME(siginterrupt, SigInterrupt),
    BY_NAME(sigblock, SigBlock),
    BY_NAME(sigsetmask, SigBlock),
    BY_NAME(siggetmask, SigGetMask),
    DECLARED(sigaltstack, SigAltStack),
    DECLARED(sigpending, SigPending),
    DECLARED(sigsuspend, SigSuspend),
    BY_NAME(__sigsuspend, SigSuspend),
    BY_NAME(__xpg_sigpause, SigPause),
    BY_NAME(__sigpause, SigPauseBeneath),
    DECLARED(pause, Pause),
    DECLARED(sigwait, SigWait),
    DECLARED(sigwaitinfo, SigWaitInfo),
    DECLARED(sigtimedwait, SigTimedWait),
    BY_NAME(__sigtimedwait, SigTimedWait),
    DECLARED(raise, Raise),
    DECLARED(sigqueue, SigQueue),
    BY_NAME(gsignal, Raise),
    BY_NAME(pidfd_send_signal, PidfdSendSignal),
    DECLARED(kill, KillProcess),
    DECLARED(longjmp, LongJump),
    DECLARED(_longjmp, LongJump),
    BY_NAME(__longjmp_chk, LongJump),
    DECLARED(siglongjmp, SigLongJump),
};

const struct Family kSignalFamily = FAMILY(kCases);
