// SPDX-License-Identifier: Apache-2.0
// Masks and actions.
#include <signal.h>

#include "runtime/thread/signal.h"
#include "shim/shim.h"

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

MN_ALIAS(bsd_signal, signal);
MN_ALIAS(ssignal, signal);
MN_ALIAS(__sysv_signal, sysv_signal);
MN_SHIM int __sigaction(int sig, const struct sigaction* action, struct sigaction* old) {
  return sigaction(sig, action, old);
}
