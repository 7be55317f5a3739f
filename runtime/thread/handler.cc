// SPDX-License-Identifier: Apache-2.0
// How a handler of the program is called; signal.cc has when, and on which thread. Around the call stands what the
// kernel does when it delivers a signal and when the handler returns: SA_RESETHAND takes the handler away before, the
// alternate stack is where SA_ONSTACK wants it to run, and one that the handler sets ends with it. What the thread has
// begun (Unfinished, g.h) is ended before, for the handler may jump out; it goes on when the handler returns. A
// cancellation that was held may act in the handler.
#include "runtime/thread/handler.h"

#include "runtime/arch/on_stack.h"
#include "runtime/os/real.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/fault.h"
#include "runtime/thread/signal.h"

namespace mn {
namespace {

void call_as(void* handler, int flags, int sig, siginfo_t* info, void* uc) {
  if ((flags & SA_SIGINFO) != 0)
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(handler)(sig, info, uc);
  else
    reinterpret_cast<void (*)(int)>(handler)(sig);
}

}  // namespace

void call_handler(int sig, siginfo_t* info, void* uc) {
  SignalAction& a = signal_actions[sig];
  void* handler = a.handler.load(std::memory_order_acquire);  // Acquire: pairs with signal_action.
  if (handler == nullptr) return may_be_probe(sig) ? die_of(sig, info) : void();
  int flags = a.flags.load(std::memory_order_relaxed);
  if ((flags & static_cast<int>(SA_RESETHAND)) != 0) a.handler.store(nullptr, std::memory_order_relaxed);
  call_as(handler, flags, sig, info, uc);
}

void call_in_vfork_child(int sig, siginfo_t* info, void* uc) {
  const SignalAction& a = signal_actions[sig];
  void* handler = a.handler.load(std::memory_order_acquire);  // Acquire: pairs with signal_action.
  if (handler == nullptr) return may_be_probe(sig) ? die_of(sig, info) : void();
  int flags = a.flags.load(std::memory_order_relaxed);
  if ((flags & static_cast<int>(SA_RESETHAND)) != 0 && may_be_probe(sig)) {
    struct sigaction standard {};
    real.sigaction(sig, &standard, nullptr);
  }
  call_as(handler, flags, sig, info, uc);
}

namespace {

// The handler may jump out.
void call_handler_to_its_end(G* g, int sig, siginfo_t* info, void* uc) {
  if (g->locks == 0 && g->sigwaits.load(std::memory_order_relaxed) != 0) signal_wait_left(g);
  if (g->locks != 0) return call_handler(sig, info, uc);  // a fault of ours
  Unfinished* unfinished = g->unfinished;
  g->unfinished = nullptr;
  if (unfinished != nullptr) unfinished->end(unfinished);
  // A cancellation may act in the handler: whoever has something to put right has a guard (sync/guard.h).
  uint16_t held = g->cancel_held;
  g->cancel_held = 0;
  call_handler(sig, info, uc);
  g->unfinished = unfinished;
  g->cancel_held = held;
}

// A handler that was deferred is to run on g's alternate stack, and is not there yet.
bool wants_stack(const G* g, int sig) {
  if (MN_LIKELY(g->altstack.sp == nullptr) || g->locks != 0) return false;
  if ((signal_actions[sig].flags.load(std::memory_order_relaxed) & SA_ONSTACK) == 0) return false;
  return !g->altstack.holds(__builtin_frame_address(0));
}

struct Call {
  G* g;
  int sig;
  siginfo_t* info;
  void* uc;
};

void call_on_alternate(G* g, int sig, siginfo_t* info, void* uc) {
  Call call{g, sig, info, uc};
  auto top = reinterpret_cast<uintptr_t>(g->altstack.sp) + g->altstack.size;
  if ((g->altstack.flags & kAutodisarm) != 0) {
    const stack_t none{nullptr, SS_DISABLE, 0};
    signal_stack(&none, nullptr);
  }
  mn_call_on_stack(
      [](void* arg) {
        const Call& c = *static_cast<Call*>(arg);
        call_handler_to_its_end(c.g, c.sig, c.info, c.uc);
      },
      &call, reinterpret_cast<void*>(top & ~uintptr_t{15}));
}

}  // namespace

void call_handler_on(G* g, int sig, siginfo_t* info, void* uc) {
  const AltStack before = g->altstack;
  if (MN_UNLIKELY(wants_stack(g, sig)))
    call_on_alternate(g, sig, info, uc);
  else
    call_handler_to_its_end(g, sig, info, uc);
  if (MN_LIKELY(g->altstack == before)) return;
  const stack_t stack{before.sp, before.sp == nullptr ? SS_DISABLE : before.flags, before.size};
  signal_stack(&stack, nullptr);
}

}  // namespace mn
