// SPDX-License-Identifier: Apache-2.0
// What the program has done about signals: the kernel is told of one handler of ours for all, and the program of its
// own.
#include <errno.h>
#include <string.h>

#include "runtime/arch/inject.h"
#include "runtime/os/kernel_action.h"
#include "runtime/os/real.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/fault.h"
#include "runtime/thread/note.h"
#include "runtime/thread/route.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/standin.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit SignalAction signal_actions[kSignals];

namespace {

// What the kernel has sent another kernel thread for, which has not come to take it: natively main had it as soon as it
// was there.
void take_from_kernel(int sig) {
  if (!sched.started.load(std::memory_order_relaxed)) return;
  M* m = enter();
  if (signal_has_taker(sig)) {
    const uint64_t set = bit(sig);
    set_kernel_mask(m, m->kmask | set);
    siginfo_t info;
    while (signal_take_pending(set, &info) != 0) {
      note_signal(kProcess, sig, &info, Sent::kToProcess);
      process_signals.fetch_or(set, std::memory_order_seq_cst);  // pairs with route
    }
    set_kernel_mask(m, this_g()->sigmask);
    route_signals();
  }
  leave();
}

// What the kernel has for all handlers of the program.
void handle(int sig, siginfo_t* info, void* context) {
  on_signal(sig, info, context);
  handler_ends(context);
}

// What the program is to see of an action that the kernel has; `handler` and `flags`: what signal_actions had for it.
void show_action(struct sigaction* action, void* handler, int flags) {
  hide_stand_in(action);
  if (action->sa_sigaction != handle) return;
  action->sa_sigaction = reinterpret_cast<void (*)(int, siginfo_t*, void*)>(handler);
  action->sa_flags = flags | (action->sa_flags & static_cast<int>(kRestorer));  // libc adds it, and shows it
}

// The kernel's table is the child's own, ours is its parent's: what the child asks for the kernel gets as it is.
int action_in_vfork_child(int sig, const struct sigaction* action, struct sigaction* old) {
  struct sigaction present;
  if (real.sigaction(sig, action, &present) != 0) return errno;
  const SignalAction& a = signal_actions[sig];
  show_action(&present, a.handler.load(std::memory_order_relaxed), a.flags.load(std::memory_order_relaxed));
  if (old != nullptr) *old = present;
  return 0;
}

}  // namespace

bool signal_is_caught(int sig) {
  return signal_actions[sig].handler.load(std::memory_order_relaxed) != nullptr;
}

int signal_action(int sig, const struct sigaction* action, struct sigaction* old) {
  if (sig <= 0 || sig >= kSignals || sig == 32 || sig == 33) return real.sigaction(sig, action, old) == 0 ? 0 : errno;
  if (in_vfork_child()) return action_in_vfork_child(sig, action, old);
  SignalAction& a = signal_actions[sig];
  if (action != nullptr && signal_is_caught(sig) && !is_function(action)) {
    // What came before this is still the handler's, though it may not have been taken yet.
    G* g = self_g();
    take_from_kernel(sig);
    take_held_signals(g);
    deliver_signals(g);
  }
  void* was = a.handler.load(std::memory_order_relaxed);
  int was_flags = a.flags.load(std::memory_order_relaxed);
  struct sigaction present;
  if (action != nullptr && (is_function(action) || (may_be_probe(sig) && action->sa_handler == SIG_DFL))) {
    struct sigaction wrapped = *action;
    wrapped.sa_sigaction = handle;
    wrapped.sa_flags |= SA_SIGINFO;
    if (may_be_probe(sig)) wrapped.sa_flags &= ~static_cast<int>(SA_RESETHAND);  // call_handler sees to it
    uint64_t mask;
    memcpy(&mask, &action->sa_mask, sizeof mask);
    mask &= ~kUnmaskable;
    a.flags.store(action->sa_flags, std::memory_order_relaxed);
    a.mask.store(mask, std::memory_order_relaxed);
    // Release: pairs with call_handler.
    a.handler.store(reinterpret_cast<void*>(action->sa_sigaction), std::memory_order_release);
    if (real.sigaction(sig, &wrapped, &present) != 0) return errno;
  } else {
    const struct sigaction* instead = action != nullptr && action->sa_handler == SIG_DFL ? stand_in_for(sig) : nullptr;
    if (real.sigaction(sig, instead != nullptr ? instead : action, &present) != 0) return errno;
    if (action != nullptr) a.handler.store(nullptr, std::memory_order_relaxed);
  }
  if (action != nullptr) signal_caught(sig, is_function(action));
  if (old == nullptr) return 0;
  *old = present;
  show_action(old, was, was_flags);
  return 0;
}

}  // namespace mn
