// SPDX-License-Identifier: Apache-2.0
// Waiting for signals: sigwait and its family, sigsuspend, sigpending; and the alternate stack.
//
// Signals for the process come from the kernel, those for one thread from notes (signal.cc), and a wait must see both.
// It is a kernel wait, on an M that sysmon takes the P from. g->sigwaits says which signals end it, 0 when there is no
// wait.
//
// sigwait sleeps in rt_sigtimedwait for its set and for signal 32, libc's SIGCANCEL, which the M blocks meanwhile. Who
// notes a signal of the set sends 32. g->sigwaits is written, and the poke is sent, under one lock: when the wait is
// over no poke is on its way, and one that came and was not needed is taken off. One that comes before 32 is blocked
// goes to a handler that does nothing; whatever it was for, a note or a cancellation, is looked for afterwards.
//
// sigsuspend sleeps in rt_sigsuspend, as ppoll and its kin do in theirs where they are given a mask. The handler that
// ends it exists, so it is poked with the signal itself.
//
// Rejected: signalfd and poll (two descriptors of the program's); a condition variable fed by a thread that waits for
// all signals in the program's stead (it cannot know which the program would rather have delivered).
#include <errno.h>
#include <string.h>

#include "runtime/os/clock.h"
#include "runtime/os/confined.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/interrupt.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/route.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr int kPoke = 32;
constexpr uint64_t kPokeBit = uint64_t{1} << (kPoke - 1);

// Leaf lock: taken inside, or with all signals blocked.
constinit SpinLock g_waits_lock;

uint64_t bits(const sigset_t* set) {
  uint64_t b;
  memcpy(&b, set, sizeof b);
  return b;
}

void kernel_mask(uint64_t mask) {
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&mask), 0, 8);
}

void set_waits(G* g, uint64_t set, bool blocks = false) {
  M* m = enter();
  {
    SpinGuard guard(g_waits_lock);
    g->sigwaits.store(set, std::memory_order_relaxed);
  }
  if (blocks) release_p(m);
  leave();
}

long timed_wait(uint64_t set, siginfo_t* info, int64_t deadline) {
  timespec left{};
  if (deadline != kForever) {
    int64_t ns = deadline - now_ns();
    if (ns > 0) left = ns_timespec(ns);
  }
  return raw_syscall(SYS_rt_sigtimedwait, sys_arg(&set), sys_arg(info), deadline != kForever ? sys_arg(&left) : 0, 8);
}

bool waits(const G* g) {
  return g->sigwaits.load(std::memory_order_relaxed) != 0;
}

}  // namespace

bool signal_waited_for(G* g, int sig) {
  return (g->sigwaits.load(std::memory_order_relaxed) & (uint64_t{1} << (sig - 1))) != 0;
}

int signal_take_pending(uint64_t set, siginfo_t* info) {
  if (!may_use(kQuestions)) return 0;  // the kernel delivers them when it comes to that
  for (;;) {
    long sig = timed_wait(set, info, 0);
    if (sig <= 0) return 0;
    if (!is_poke(info)) return static_cast<int>(sig);
  }
}

bool signal_waiter_poke(G* g, int sig) {
  SpinGuard guard(g_waits_lock);
  if (!signal_waited_for(g, sig)) return false;
  signal_poke(g->m.load(std::memory_order_relaxed), g->sigsuspended ? sig : kPoke);
  return true;
}

void signal_wait_left(G* g) {
  set_waits(g, 0);
  g->sigsuspended = false;
}

int signal_wait(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
  G* g = self_g();
  uint64_t wanted = bits(set) & ~kUnmaskable;
  if (timeout != nullptr && !valid_timespec(*timeout)) return -EINVAL;
  cancellation_point();
  int64_t deadline = kForever;
  if (timeout != nullptr && __builtin_add_overflow(now_ns(), timespec_ns(*timeout), &deadline)) deadline = kForever;
  siginfo_t got{};
  cancel_signal_is_harmless();
  bool only_looks = timeout != nullptr && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
  set_waits(g, wanted, !only_looks);
  // The M is ours until set_waits() enters libmn again.
  kernel_mask(g->sigmask | kPokeBit);
  long result;
  for (;;) {
    result = signal_take(g, wanted, &got);
    if (result != 0) break;
    if ((held_signals.load(std::memory_order_relaxed) & wanted) != 0) {
      kernel_mask(kAllMasked | kPokeBit);  // no handler while notes are moved
      result = take_process_signal(wanted, &got);
      kernel_mask(g->sigmask | kPokeBit);
      if (result != 0) break;
    }
    wait_for_move();  // it is looked for in the kernel next
    if (MN_UNLIKELY(cancel_noted(g)) && !tcb_cancel_disabled(g->tp)) {
      result = -EINTR;
      break;
    }
    Interruption interruption(g);
    result = timed_wait(wanted | kPokeBit, &got, deadline);
    if (result == -EINTR && interruption.only_preempted() && waits(g)) continue;
    if (result != kPoke && (result <= 0 || !is_poke(&got))) break;  // a poke may have been for the G before
  }
  {
    kernel_mask(kAllMasked | kPokeBit);  // no handler while the lock is held
    SpinGuard guard(g_waits_lock);
    g->sigwaits.store(0, std::memory_order_relaxed);
  }
  siginfo_t poke;
  while (timed_wait(kPokeBit, &poke, 0) == kPoke) {
  }
  kernel_mask(g->sigmask);
  g->m.load(std::memory_order_relaxed)->kmask = g->sigmask;
  cancellation_point();
  if (got.si_code == SI_TKILL) got.si_code = SI_USER;  // as glibc: who asks need not know of threads
  if (result > 0 && info != nullptr) *info = got;
  return static_cast<int>(result);
}

long signal_masked_call(const sigset_t* mask, long (*call)(const uint64_t* mask, void* arg), void* arg) {
  G* g = self_g();
  uint64_t during = bits(mask) & ~kUnmaskable;
  cancellation_point();
  uint64_t before = g->sigmask;
  g->sigsuspended = true;
  set_waits(g, ~during, true);
  kernel_mask(kAllMasked | kPokeBit);  // a cancellation, too, must find the call or be found
  long result = -EINTR;
  if ((pending_signals(g) & ~during) != 0) {
    signal_run_unblocked(g, during);
  } else if (!g->cancelled.load(std::memory_order_relaxed) || tcb_cancel_disabled(g->tp)) {
    for (;;) {
      g->sigmask = during;  // a handler, and a poke that finds no note, leave it as the kernel had it before the call
      Interruption interruption(g);
      result = call(&during, arg);
      if (result != -EINTR || !interruption.only_preempted() || !waits(g)) break;
    }
  }
  g = this_g();
  kernel_mask(before);
  g->sigmask = before;
  g->m.load(std::memory_order_relaxed)->kmask = before;
  set_waits(g, 0);
  g->sigsuspended = false;
  cancellation_point();
  return result;
}

int signal_suspend(const sigset_t* mask) {
  signal_masked_call(
      mask, [](const uint64_t* during, void*) { return raw_syscall(SYS_rt_sigsuspend, sys_arg(during), 8); }, nullptr);
  return EINTR;
}

void signal_waits_reset_after_fork() {
  g_waits_lock.reset_after_fork();
}

int signal_pending_set(sigset_t* set) {
  G* g = self_g();
  enter();
  uint64_t noted = pending_signals(g);
  leave();
  uint64_t kernel = 0;  // what is not noted any more it has
  long error = raw_syscall(SYS_rt_sigpending, sys_arg(&kernel), 8);
  if (error != 0) return static_cast<int>(-error);
  kernel |= noted;
  sigemptyset(set);
  memcpy(set, &kernel, sizeof kernel);
  return 0;
}

// The kernel has it per kernel thread; the scheduler sets the next G's when it is another.
int signal_stack(const stack_t* stack, stack_t* old) {
  G* g = self_g();
  if (g->vforked) return static_cast<int>(-raw_syscall(SYS_sigaltstack, sys_arg(stack), sys_arg(old)));
  // Inside: the M that is asked is the M that is noted.
  M* m = enter();
  auto error = static_cast<int>(-raw_syscall(SYS_sigaltstack, sys_arg(stack), sys_arg(old)));
  if (error == 0 && stack != nullptr) {
    bool none = (stack->ss_flags & SS_DISABLE) != 0;
    g->altstack = m->altstack = none ? AltStack{} : AltStack{stack->ss_sp, stack->ss_size, stack->ss_flags};
  }
  leave();
  return error;
}

}  // namespace mn
