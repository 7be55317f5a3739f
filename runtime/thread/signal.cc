// SPDX-License-Identifier: Apache-2.0
// Signals. Every handler of the program is entered through on_signal(), which runs it at once when the interrupted
// thread is outside libmn, and defers it otherwise: sem_post is async-signal-safe, and must not find the bucket that it
// needs locked by the code it interrupted.
//
//   interrupted thread is              the signal
//   a G outside libmn                  runs now, on this G
//   a G inside                         is noted for this G, which runs it on leave(); a wait it begins meanwhile ends
//   g0, sysmon                         is noted for the process and routed to main, or to a G that does not block it
//   unknown to libmn                   runs now
//   synchronous (SIGSEGV ... by fault) runs now, wherever: it belongs to the instruction
//
// SIGSEGV and SIGBUS come here even where the program leaves them alone: see fault.h.
//
// Signals for one thread (pthread_kill) never go to the kernel's queue of a kernel thread, from which the G may move:
// they are noted. A G that runs outside is poked: its M gets the same signal, marked kPokeCode, which ends what it does
// in the kernel as the signal would, and makes it look at its notes. A poke that arrives late finds no note and does
// nothing. Where the thread's code looks for notes itself in a moment, `delivering` leaves it to that; a preempted
// thread that goes on does so, for a handler that ran there would be told of libmn (preempt.cc, give_way). A signal
// that meets the call by which a thread is preempted takes it back (inject_take_back).
//
// A handler that was deferred is told of its caller in libmn as of the code that it interrupts (arch/interrupted.h):
// what it looks for there, or has gone on elsewhere, is as where the kernel would have interrupted a system call.
//
// The mask is the G's. m->kmask is what the kernel has for the M's thread; the scheduler adjusts it when the next G's
// mask differs. While a handler runs, the G's mask is the kernel's; both are put back before the handler's frame
// returns. Idle Ms block all signals. sysmon has main's mask, so that a signal that main would take is taken whatever
// the Ms run, except signals that another G takes (route.h); main does not return from blocking a signal before sysmon
// blocks it, too: the default action may be to kill.
#include "runtime/thread/signal.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include <initializer_list>

#include "runtime/arch/inject.h"
#include "runtime/arch/interrupted.h"
#include "runtime/os/real.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/credentials.h"
#include "runtime/thread/fault.h"
#include "runtime/thread/handler.h"
#include "runtime/thread/note.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/raised.h"
#include "runtime/thread/route.h"
#include "runtime/thread/standin.h"
#include "runtime/thread/thread.h"

namespace mn {

namespace {

// As the kernel has them in REG_CSGSFS: cs, and ss at the top.
constexpr greg_t kUserSegments = 0x002b'0000'0000'0033;

void set_mask(G* g, uint64_t mask) {
  g->sigmask = mask & ~kUnmaskable;
  g->m.load(std::memory_order_relaxed)->may_hold |= g->sigmask & kRaised;
  set_kernel_mask(g->m.load(std::memory_order_relaxed), g->sigmask);
  // Afterwards: what the kernel holds comes to this thread, at once, and not to sysmon.
  g = this_g();
  if (g == sched.main_g || !signals_opened(g->sigmask)) return;
  // What sysmon has given to the kernel for this thread meanwhile is handled as a system call returns; until then it
  // may be on the way.
  wait_for_move();
  static constinit std::atomic<uint32_t> nobody{0};
  futex_wake(&nobody);  // any call would do; this one no filter refuses that lets threads run
}

void deliver(G* g);

// A signal that the kernel never saw for this thread, and that the program does not catch.
void default_action(int sig, const siginfo_t* info) {
  struct sigaction present;
  if (real.sigaction(sig, nullptr, &present) != 0 || present.sa_handler == SIG_IGN) return;
  if (may_be_probe(sig)) return die_of(sig, info);
  if (present.sa_handler != SIG_DFL && !stands_in(sig)) return;
  raw_syscall(SYS_tgkill, sys_getpid(), sys_gettid(), sig);
}

// Called after `delivering` is cleared: a poke received while it was set was ignored, so the caller must look again.
bool notes_due(const G* g) {
  __asm__ volatile("" ::: "memory");
  return (g->sigpend.load(std::memory_order_relaxed) & ~(g->sigmask | kPolicyBit)) != 0;
}

// A handler is about to run on g: from now on g acts on pokes, and delivers now what earlier ones were about.
void end_delivering(G* g) {
  g->delivering = false;
  if (MN_UNLIKELY(notes_due(g))) deliver(g);
}

uint64_t mask_of(const ucontext_t& uc) {
  uint64_t mask;
  memcpy(&mask, &uc.uc_sigmask, sizeof mask);
  return mask;
}

void set_mask_of(ucontext_t* uc, uint64_t mask) {
  memcpy(&uc->uc_sigmask, &mask, sizeof mask);
}

struct Noted {
  int sig;
  siginfo_t* info;
};

void run_handler(ucontext_t* uc, void* noted) {
  auto [sig, info] = *static_cast<Noted*>(noted);
  const SignalAction& a = signal_actions[sig];
  G* g = this_g();
  uint64_t old = g->sigmask;
  int saved_errno = errno;
  int flags = a.flags.load(std::memory_order_relaxed);
  set_mask(g, old | a.mask.load(std::memory_order_relaxed) | ((flags & SA_NODEFER) != 0 ? 0 : bit(sig)));
  if ((flags & static_cast<int>(SA_RESETHAND)) != 0 && !may_be_probe(sig)) {
    struct sigaction standard {};
    real.sigaction(sig, &standard, nullptr);
  }
  ++g->handlers_run;
  if ((flags & SA_RESTART) == 0) ++g->handlers_run_abrupt;
  set_mask_of(uc, old);
  end_delivering(g);
  call_handler_on(g, sig, info, uc);
  g->delivering = true;
  set_mask(g, mask_of(*uc));
  take_from_process(g);
  errno = saved_errno;
}

// The same for one whose caller the handler may send elsewhere, so that deliver() would not look again.
void run_handler_between(ucontext_t* uc, void* noted) {
  const auto& regs = uc->uc_mcontext.gregs;
  greg_t pc = regs[REG_RIP], sp = regs[REG_RSP];
  run_handler(uc, noted);
  if (regs[REG_RIP] != pc || regs[REG_RSP] != sp) end_delivering(this_g());
}

// Runs one noted signal on the calling G, which is outside. `interrupted`: what the kernel says that it interrupted;
// null: it is the caller. Not inlined: its frame is large (sched.cc, queue_overflow).
MN_NOINLINE void run_noted(G* g, int sig, siginfo_t* info, Sent sent, ucontext_t* interrupted) {
  // The kernel gave it out for a handler that the program has taken away meanwhile: not to kill.
  if (!signal_is_caught(sig)) return sent == Sent::kToProcess ? void() : default_action(sig, info);
  Noted noted{sig, info};
  if (interrupted != nullptr) {
    // In a wait with another mask the kernel has one to put back that is not g's.
    const uint64_t kernels = mask_of(*interrupted), present = g->sigmask;
    run_handler(interrupted, &noted);
    if (mask_of(*interrupted) == present) set_mask_of(interrupted, kernels);
    return;
  }
  ucontext_t uc{};
  uc.uc_stack.ss_sp = g->altstack.sp;
  uc.uc_stack.ss_size = g->altstack.size;
  uc.uc_stack.ss_flags = g->altstack.sp != nullptr ? g->altstack.flags : SS_DISABLE;
  uc.uc_mcontext.gregs[REG_CSGSFS] = kUserSegments;
  uc.uc_mcontext.fpregs = &uc.__fpregs_mem;
  mn_interrupted_call(run_handler_between, &uc, &noted);
}

// A poke that comes between two handlers is left to it: were it acted upon at once, whoever is sent signals faster than
// it handles them would nest handlers until its stack ends. Natively the mask is opened by the handler's return itself.
MN_NOINLINE void deliver_on(G* g, ucontext_t* interrupted) {
  if ((g->sigpend.load(std::memory_order_relaxed) & kPolicyBit) != 0) {
    // Before it is looked at: a later one sets it again (pairs with policy.cc).
    g->sigpend.fetch_and(~kPolicyBit, std::memory_order_seq_cst);
    apply_policy(g);
  }
  for (;;) {
    g->delivering = true;
    uint64_t due = g->sigpend.load(std::memory_order_relaxed) & ~(g->sigmask | kPolicyBit);
    if (MN_UNLIKELY((due & kCancelBit) != 0)) {
      g->delivering = false;
      return cancel_arrived(g), deliver_on(g, interrupted);
    }
    if (due == 0) {
      g->delivering = false;
      if (notes_due(g)) continue;
      return;
    }
    int sig = __builtin_ctzll(due) + 1;
    // Before the records: one noted later sets it again (pairs with note_signal).
    g->sigpend.fetch_and(~bit(sig), std::memory_order_seq_cst);
    siginfo_t info;
    Sent sent;
    while (take_note(g, sig, &info, &sent)) run_noted(g, sig, &info, sent, interrupted);
  }
}

// Hook of leave().
void deliver(G* g) {
  deliver_on(g, nullptr);
}

// Hook of a preempted thread that goes on.
void deliver_to(G* g, ucontext_t* interrupted) {
  set_mask_of(interrupted, g->sigmask);
  interrupted->uc_stack = {g->altstack.sp, g->altstack.sp != nullptr ? g->altstack.flags : SS_DISABLE,
                           g->altstack.size};
  deliver_on(g, interrupted);
}

// libc is about to end the process. It was called inside, by a handler of its own (credentials.h).
void handle_abort(G* g, int sig, siginfo_t* info, void* context) {
  if (g->m.load(std::memory_order_relaxed)->own_descriptors) abort_by_asker();
  call_handler(sig, info, context);
  if (aborts_for_another()) end_by_signal(sig);
}

}  // namespace

void on_signal(int sig, siginfo_t* info, void* context) {
  if (probe_recovered(sig, context)) return;
  G* g = this_g();
  if (MN_UNLIKELY(g != nullptr && g->vforked)) return call_in_vfork_child(sig, info, context);
  bool poke = is_poke(info);
  // Whoever it came to: the process is to die.
  if (may_be_probe(sig) && !signal_is_caught(sig) && !poke &&
      (g == nullptr || g->system || (g->sigmask & bit(sig)) == 0))
    return die_of(sig, info);
  if (g == nullptr) return poke ? void() : call_handler(sig, info, context);
  // Meant for a G that has left this thread, it may have ended a call of g's in the kernel.
  if (poke) ++g->preempt_signals;
  if (MN_UNLIKELY(is_own_abort(sig, info)) && (g->locks != 0 || aborts_for_another()))
    return handle_abort(g, sig, info, context);
  if (g->locks != 0 && !synchronous(sig, info)) {
    if (poke) return;
    // In the middle of a switch the kernel's mask may be another G's already.
    if (g->system || (g->sigmask & bit(sig)) != 0) {
      note_signal(kProcess, sig, info, Sent::kToProcess);
      process_signals.fetch_or(bit(sig), std::memory_order_seq_cst);  // pairs with route
      // This thread may be about to sleep, sysmon itself included. Seq_cst: pairs with sleep_until_busy, which sets it
      // and then looks for signals.
      if (sched.sysmon_asleep.load(std::memory_order_seq_cst)) sysmon_wake();
      return;
    }
    note_signal(g, sig, info, was_raised(sig, info) ? Sent::kToThread : Sent::kToProcess);
    if (g->wired) g->note.signal();  // it may be about to sleep
    return;
  }
  if (g->system) return call_handler(sig, info, context);
  // The kernel blocked what the action says; the G may be switched out inside the handler and come back elsewhere.
  auto* uc = static_cast<ucontext_t*>(context);
  inject_take_back(uc);  // sysmon asks again
  const SignalAction& a = signal_actions[sig];
  uint64_t nodefer = (a.flags.load(std::memory_order_relaxed) & SA_NODEFER) != 0 ? 0 : bit(sig);
  bool delivering = g->delivering;
  if (poke) {
    if (delivering) return;
    g->delivering = true;
    set_mask(g, g->sigmask);
    deliver_on(g, uc);
  } else {
    uint64_t during = (g->sigmask | a.mask.load(std::memory_order_relaxed) | nodefer) & ~kUnmaskable;
    g->sigmask = during;
    g->m.load(std::memory_order_relaxed)->kmask = during;
    if (delivering) end_delivering(g);
    call_handler_on(g, sig, info, context);
    g->delivering = delivering;
  }
  uint64_t before = mask_of(*uc) & ~kUnmaskable;  // the handler may have changed what is restored
  g = this_g();
  g->sigmask = before;
  g->m.load(std::memory_order_relaxed)->kmask = before;
  signals_reopened(g);
  // What was noted for this thread while the handler blocked it: natively it comes as the handler returns, which may be
  // to another place than it interrupted.
  uint64_t due = g->sigpend.load(std::memory_order_relaxed) & ~before;
  if (MN_LIKELY(due == 0) || g->locks != 0 || delivering) return;
  int next = __builtin_ctzll(due) + 1;
  if ((due & (kCancelBit | kPolicyBit)) == 0 && signal_is_caught(next))
    return signal_poke(g->m.load(std::memory_order_relaxed), next);
  deliver(g);
}

void signal_alert(G* g, int sig) {
  if (interrupt_wait(g)) return;
  // Either we see that g runs, and where, or g sees the note when it leaves.
  fence_all();
  if (signal_waiter_poke(g, sig)) return;
  if (g->state == GState::kRunnable && (g->sigmask & bit(sig)) == 0) return run_soon(g);
  M* m = g->m.load(std::memory_order_relaxed);
  if (g->state != GState::kRunning || m == nullptr || (g->sigmask & bit(sig)) != 0) return;
  if (!signal_is_caught(sig) && !may_be_probe(sig)) return;
  signal_poke(m, sig);
}

int signal_mask(int how, const sigset_t* set, sigset_t* old) {
  G* g = self_g();
  if (MN_UNLIKELY(g->vforked)) return real.pthread_sigmask(how, set, old);
  uint64_t present = g->sigmask;
  if (set != nullptr) {
    uint64_t arg;
    memcpy(&arg, set, sizeof arg);
    uint64_t next = present;
    if (how == SIG_BLOCK)
      next |= arg;
    else if (how == SIG_UNBLOCK)
      next &= ~arg;
    else if (how == SIG_SETMASK)
      next = arg;
    else
      return EINVAL;
    next &= ~kUnmaskable;
    if (old != nullptr) {
      sigemptyset(old);
      memcpy(old, &present, sizeof present);
    }
    set_mask(g, next);
    if (g == sched.main_g) signals_main_mask(g->sigmask);
    give_up_signals(g);
    take_from_process(g);
    deliver(g);
    return 0;
  }
  if (old != nullptr) {
    sigemptyset(old);
    memcpy(old, &present, sizeof present);
  }
  return 0;
}

int signal_take(G* g, uint64_t set, siginfo_t* info) {
  // Seq_cst: pairs with note_signal, as the waiter is announced before it looks and the signal before its sender looks.
  uint64_t due = g->sigpend.load(std::memory_order_seq_cst) & set;
  for (; due != 0; due &= due - 1) {  // lowest first (POSIX, for real-time signals)
    int sig = __builtin_ctzll(due) + 1;
    g->sigpend.fetch_and(~bit(sig), std::memory_order_seq_cst);  // before the records, as in deliver
    bool taken = take_note(g, sig, info);
    if (has_note(g, sig)) g->sigpend.fetch_or(bit(sig), std::memory_order_relaxed);  // of those that queue
    if (taken) return sig;
  }
  return 0;
}

void signal_run_unblocked(G* g, uint64_t mask) {
  uint64_t old = g->sigmask;
  set_mask(g, mask);
  take_held_signals(g);
  deliver(g);
  set_mask(g, old);
}

void signals_init() {
  for (int sig : {SIGSEGV, SIGBUS}) {
    struct sigaction present;
    if (real.sigaction(sig, nullptr, &present) == 0 && present.sa_handler == SIG_DFL)
      signal_action(sig, &present, nullptr);
  }
  deliver_signals = deliver;
  deliver_signals_to = deliver_to;
  raised_init();
  routes_init();
}

void signals_reset_after_fork() {
  // Pending signals are not inherited (POSIX fork).
  forget_all_notes();
  this_g()->sigpend.fetch_and(kPolicyBit, std::memory_order_relaxed);
  routes_reset();
  signal_waits_reset_after_fork();
}

}  // namespace mn
