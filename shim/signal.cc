// SPDX-License-Identifier: Apache-2.0
// Masks and actions.
#include <signal.h>
#include <string.h>

#include "runtime/sched/sched.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/wait.h"

using namespace mn;

namespace {

using Handler = void (*)(int);

Handler set_handler(int sig, Handler handler, int flags, bool block_itself) {
  struct sigaction action {};
  struct sigaction old;
  action.sa_handler = handler;
  action.sa_flags = flags;
  if (block_itself) sigaddset(&action.sa_mask, sig);
  if (handler == SIG_ERR || errno_result(signal_action(sig, &action, &old)) != 0) {
    errno = EINVAL;
    return SIG_ERR;
  }
  return old.sa_handler;
}

// Blocks or unblocks one signal; *was (may be null): whether it was blocked. 0, or -1 with errno.
int mask_one(int how, int sig, bool* was) {
  sigset_t set, old;
  sigemptyset(&set);
  if (sigaddset(&set, sig) != 0) return -1;
  signal_mask(how, &set, &old);
  if (was != nullptr) *was = sigismember(&old, sig) == 1;
  return 0;
}

// BSD's masks: the first 32 signals in an int. Returns the old one.
int mask_low(int how, int mask) {
  sigset_t set, old;
  sigemptyset(&set);
  memcpy(&set, &mask, sizeof mask);
  signal_mask(how, &set, &old);
  memcpy(&mask, &old, sizeof mask);
  return mask;
}

int number_or_errno(int result) {
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace

MN_SHIM int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  return on() ? signal_mask(how, set, old) : real.pthread_sigmask(how, set, old);
}
MN_SHIM int sigprocmask(int how, const sigset_t* set, sigset_t* old) {
  return on() ? errno_result(signal_mask(how, set, old)) : real.sigprocmask(how, set, old);
}
MN_SHIM int sigaction(int sig, const struct sigaction* action, struct sigaction* old) {
  return on() ? errno_result(signal_action(sig, action, old)) : real.sigaction(sig, action, old);
}
MN_SHIM Handler signal(int sig, Handler handler) {
  return on() ? set_handler(sig, handler, SA_RESTART, true) : real.signal(sig, handler);
}
MN_SHIM Handler sysv_signal(int sig, Handler handler) {
  return on() ? set_handler(sig, handler, static_cast<int>(SA_RESETHAND | SA_NODEFER), false)
              : real.sysv_signal(sig, handler);
}

MN_SHIM int sigignore(int sig) {
  if (!on()) return real.sigignore(sig);
  return set_handler(sig, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}
MN_SHIM int sighold(int sig) {
  return on() ? mask_one(SIG_BLOCK, sig, nullptr) : real.sighold(sig);
}
MN_SHIM int sigrelse(int sig) {
  return on() ? mask_one(SIG_UNBLOCK, sig, nullptr) : real.sigrelse(sig);
}
MN_SHIM Handler sigset(int sig, Handler handler) {
  if (!on()) return real.sigset(sig, handler);
  bool was_held;
  if (handler == SIG_HOLD) {
    struct sigaction present;
    if (mask_one(SIG_BLOCK, sig, &was_held) != 0 || sigaction(sig, nullptr, &present) != 0) return SIG_ERR;
    return was_held ? SIG_HOLD : present.sa_handler;
  }
  Handler old = set_handler(sig, handler, 0, false);
  if (old == SIG_ERR || mask_one(SIG_UNBLOCK, sig, &was_held) != 0) return SIG_ERR;
  return was_held ? SIG_HOLD : old;
}

MN_SHIM int sigblock(int mask) {
  return on() ? mask_low(SIG_BLOCK, mask) : real.sigblock(mask);
}
MN_SHIM int sigsetmask(int mask) {
  return on() ? mask_low(SIG_SETMASK, mask) : real.sigsetmask(mask);
}
MN_SHIM int siggetmask() {
  return on() ? mask_low(SIG_BLOCK, 0) : real.siggetmask();
}

// X/Open's sigpause, as which <signal.h> declares it, and the one beneath it: of a signal, or of BSD's whole mask.
MN_SHIM int __sigpause(int sig_or_mask, int is_sig) {
  if (!on_here()) return real.__sigpause(sig_or_mask, is_sig);
  sigset_t during;
  if (is_sig != 0) {
    signal_mask(SIG_BLOCK, nullptr, &during);
    if (sigdelset(&during, sig_or_mask) != 0) return -1;
  } else {
    sigemptyset(&during);
    memcpy(&during, &sig_or_mask, sizeof sig_or_mask);
  }
  return errno_result(signal_suspend(&during));
}
MN_SHIM int __xpg_sigpause(int sig) {
  return on() ? __sigpause(sig, 1) : real.__xpg_sigpause(sig);
}

MN_SHIM int kill(pid_t pid, int sig) {
  int error = on() ? signal_process(pid, sig, nullptr) : -1;
  return error >= 0 ? errno_result(error) : real.kill(pid, sig);
}
MN_SHIM int sigqueue(pid_t pid, int sig, const sigval value) {
  int error = on() ? signal_process(pid, sig, &value) : -1;
  return error >= 0 ? errno_result(error) : real.sigqueue(pid, sig, value);
}
MN_SHIM int raise(int sig) {
  return on_here() ? errno_result(signal_raise(sig)) : real.raise(sig);
}
MN_SHIM int sigpending(sigset_t* set) {
  return on_here() ? errno_result(signal_pending_set(set)) : real.sigpending(set);
}
MN_SHIM int sigsuspend(const sigset_t* mask) {
  return on_here() ? errno_result(signal_suspend(mask)) : real.sigsuspend(mask);
}
// A sleep without end. Filters of the program's let through what pause() calls, and not sigsuspend's call.
MN_SHIM int pause() {
  if (!on_here() || !sched.started.load(std::memory_order_relaxed) || thread_g(thread_of(self_g())) == nullptr)
    return real.pause();
  int64_t left;
  return errno_result(sleep_until(Deadline{}, &left));
}
MN_SHIM int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
  return on_here() ? number_or_errno(signal_wait(set, info, timeout)) : real.sigtimedwait(set, info, timeout);
}
MN_SHIM int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  return on_here() ? number_or_errno(signal_wait(set, info, nullptr)) : real.sigwaitinfo(set, info);
}
MN_SHIM int sigwait(const sigset_t* set, int* sig) {
  if (!on_here()) return real.sigwait(set, sig);
  int result;
  do {
    result = signal_wait(set, nullptr, nullptr);
  } while (result == -EINTR);  // as glibc
  if (result < 0) return -result;
  *sig = result;
  return 0;
}
MN_SHIM int sigaltstack(const stack_t* stack, stack_t* old) {
  return on() ? errno_result(signal_stack(stack, old)) : real.sigaltstack(stack, old);
}

MN_ALIAS(gsignal, raise);
MN_ALIAS(__sigtimedwait, sigtimedwait);
MN_ALIAS(__sigsuspend, sigsuspend);
MN_ALIAS(bsd_signal, signal);
MN_ALIAS(ssignal, signal);
MN_ALIAS(__sysv_signal, sysv_signal);
MN_SHIM int __sigaction(int sig, const struct sigaction* action, struct sigaction* old) {
  return sigaction(sig, action, old);
}
