// SPDX-License-Identifier: Apache-2.0
// Cancellation. libc keeps the state, in the TCB, and unwinds. An asynchronous one, and one of a thread that blocks in
// a cancellation point of libc's, comes to libc by signal 32: its handler looks at the thread that it interrupts. It
// can only be let look at the right one, and where it may unwind:
//
//   the thread                          learns of it
//   waits in libmn                      at the end of its wait, which is ended
//   is inside, or waits for a P         when it leaves
//   runs or blocks outside              at once: its M gets signal 32
//   the same, while it is held          when it is no more (cancel.h)
//   has left the M meanwhile            it was inside, see above; the G that runs there does not notice
//
// So only our handler, on_cancel(), calls libc's. "When it leaves" is G::sigpend's kCancelBit, which every
// leave() looks at: then the thread sends itself the signal, to be acted upon here and now (cancel_now).
//
// A cancellation that is disabled is none for whoever waits: no wait ends (waitq.cc, cancel_wanted), no signal is sent.
//
// A call that moves data looks again when it is through (shim/io.h): natively whoever is cancelled in such a call is
// cancelled, even if the other end is closed, or data come, right after pthread_cancel.
//
// The signal is not blocked while libc's handler unwinds, for the mask is the kernel thread's and others run there
// before the clean-up handlers are through. It is blocked until we know that the signal is libc's or ours: others may
// send thousands, of which none is to interrupt the handler of the one before. It is sent only where libc would have
// sent it, which ends calls that never restart.
#include "runtime/thread/cancel.h"

#include <errno.h>
#include <signal.h>

#include "runtime/arch/inject.h"
#include "runtime/os/kernel_action.h"
#include "runtime/os/libc_version.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/end.h"
#include "runtime/thread/note.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr int kSignal = 32;

enum Taken : int { kNotYet, kBeingTaken, kTaken };
constinit std::atomic<int> g_taken{kNotYet};
constinit std::atomic<void*> g_libcs{nullptr};  // libc's handler
constinit bool g_always = false;                // it wants the signal of every cancellation
// What libc marks a thread with that it cancels by itself. With less it has found it asynchronous, at that very moment,
// and leaves the rest to its handler, without which nothing more would come of it.
constinit int g_cancelled = 0;

// A wait for signals has them blocked, and ends with a cancellation point.
bool held(const G* g) {
  return g->cancel_held != 0 || g->sigwaits.load(std::memory_order_relaxed) != 0;
}

// As libc's handler judges.
bool sent_here(const siginfo_t* info) {
  return info->si_code == SI_TKILL && info->si_pid == sys_getpid();
}

void act_or_note(int sig, siginfo_t* info, void* context) {
  G* g = this_g();
  auto libcs = reinterpret_cast<void (*)(int, siginfo_t*, void*)>(g_libcs.load(std::memory_order_relaxed));
  if (libcs == nullptr) return;
  // Threads that libc runs.
  if (g == nullptr || (g->wired && g->slot == nullptr && g != sched.main_g)) return libcs(sig, info, context);
  if (g->system) return;
  bool cancelled = g->cancelled.load(std::memory_order_relaxed) && sent_here(info);
  if (cancelled && g->locks == 0) lead_main_to_its_end(g);
  if (!cancelled || (!g->cancel_now && (g->locks != 0 || held(g)))) {
    if (cancelled && g->locks == 0) g->cancel_due = true;
    ++g->preempt_signals;  // it may have ended a call of g's in the kernel
    return;
  }
  g->cancel_now = g->cancel_due = false;
  g->sigpend.fetch_and(~kCancelBit, std::memory_order_relaxed);
  sys_open_signal(kSignal);
  libcs(sig, info, context);
}

void on_cancel(int sig, siginfo_t* info, void* context) {
  act_or_note(sig, info, context);
  handler_ends(context);
}

bool try_to_take() {
  int not_yet = kNotYet;
  // Acquire: pairs with the releases of kNotYet and kTaken.
  return g_taken.compare_exchange_strong(not_yet, kBeingTaken, std::memory_order_acquire);
}

// libc installs its handler at the first cancellation, which therefore is one of nobody: a thread that has ended.
void take_signal() {
  if (g_taken.load(std::memory_order_acquire) == kTaken) return;  // Acquire: pairs with the release below.
  cancel_hold();
  while (!try_to_take()) {
    if (g_taken.load(std::memory_order_acquire) == kTaken) return cancel_release();  // Acquire: as above.
    thread_yield();
  }
  size_t size = round_up(tcb_layout.size, kPageSize);
  if (void* nobody = map_memory(size)) {
    tcb_set_tid(nobody, kFakeTidBase);
    real.pthread_cancel(reinterpret_cast<pthread_t>(nobody));
    g_cancelled = tcb_cancelhandling(nobody);
    unmap_memory(nobody, size);
  }
  KernelAction action{};
  if (kernel_action(kSignal, nullptr, &action) == 0 && action.has_handler() &&
      action.handler != reinterpret_cast<void*>(on_cancel)) {
    g_libcs.store(action.handler, std::memory_order_relaxed);
    // From 2.41 on glibc does not mark a thread that blocks in a cancellation point: its handler looks where it is.
    g_always = libc_minor() >= 41;
    action.handler = reinterpret_cast<void*>(on_cancel);
    action.flags |= SA_RESTART;
    kernel_action(kSignal, &action, nullptr);
  }
  g_taken.store(kTaken, std::memory_order_release);  // Release: pairs with the acquires above, and try_to_take's.
  cancel_release();
}

// Inside: a handler of the program's must not jump out, nor a cancellation unwind, before the word is given back.
// libc's return trampoline is borrowed from another handler: SIGSEGV has one always (signals_init).
bool install_harmless() {
  enter();
  bool mine = try_to_take();
  if (mine) {
    KernelAction action{};
    for (int sig = 1; sig < kSignals && !action.has_handler(); ++sig) kernel_action(sig, nullptr, &action);
    KernelAction harmless{reinterpret_cast<void*>(on_cancel), kRestorer | SA_SIGINFO | SA_RESTART, action.restorer, 0};
    if (action.has_handler()) kernel_action(kSignal, &harmless, nullptr);
    g_taken.store(kNotYet, std::memory_order_release);  // Release: pairs with try_to_take.
  }
  leave();
  return mine;
}

void signal_m(G* g) {
  M* m = g->m.load(std::memory_order_relaxed);
  if (g->state == GState::kRunning && m != nullptr)
    raw_syscall(SYS_tgkill, sys_getpid(), m->ktid.load(std::memory_order_relaxed), kSignal);
}

}  // namespace

void cancel_signal_is_harmless() {
  static constinit std::atomic<bool> done{false};
  if (done.load(std::memory_order_relaxed)) return;
  // Acquire: pairs with take_signal.
  while (g_taken.load(std::memory_order_acquire) != kTaken && !install_harmless()) thread_yield();
  done.store(true, std::memory_order_relaxed);
}

int thread_cancel(pthread_t t) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_cancel(t);
  take_signal();
  if (g == self_g()) {
    g->cancelled.store(true, std::memory_order_relaxed);
    return real.pthread_cancel(t);
  }
  // Sets the bit in the TCB. The signal that it may send goes to no kernel thread but main's first, where main may be,
  // and acts on it.
  bool asynchronous = tcb_cancel_asynchronous(g->tp);
  g->cancelled.store(true, std::memory_order_relaxed);
  real.pthread_cancel(t);
  if ((tcb_cancelhandling(g->tp) & g_cancelled) != g_cancelled) asynchronous = true;
  g->sigpend.fetch_or(kCancelBit, std::memory_order_seq_cst);  // pairs with must_look_up
  g->cancel_poke.store(true, std::memory_order_seq_cst);       // pairs with must_look_up
  enter();
  if (!interrupt_wait(g)) {
    // Either we see that it runs, and where, or it sees the bit when it leaves.
    fence_all();
    bool waits_for_signals = g->sigwaits.load(std::memory_order_relaxed) != 0;
    bool wanted = g_always || asynchronous || tcb_cancel_asynchronous(g->tp) || waits_for_signals || !main_is_led(g);
    // A thread that has disabled it gets no signal, as natively: a call that never restarts would end.
    if (wanted && !tcb_cancel_disabled(g->tp)) signal_m(g);
  }
  leave();
  return 0;
}

void cancel_act(G* g) {
  lead_main_to_its_end(g);
  if (tcb_cancel_disabled(g->tp)) return;
  g->cancel_due = false;
  g->sigpend.fetch_and(~kCancelBit, std::memory_order_relaxed);
  if (g_libcs.load(std::memory_order_relaxed) == nullptr) return;
  g->cancel_now = true;
  raw_syscall(SYS_tgkill, sys_getpid(), sys_gettid(), kSignal);
}

void cancel_arrived(G* g) {
  g->sigpend.fetch_and(~kCancelBit, std::memory_order_relaxed);
  if (held(g) || tcb_cancel_disabled(g->tp))
    g->cancel_due = true;
  else
    cancel_act(g);
}

void cancellation_point() {
  G* g = self_g();
  if (MN_LIKELY(!g->cancelled.load(std::memory_order_relaxed))) return;
  lead_main_to_its_end(g);
  if (cancel_noted(g)) cancel_act(g);
  real.pthread_testcancel();
}

// Up to 2.40 glibc unwinds whoever is cancelled before the call returns, and what it has moved is lost. Later ones do
// so only where nothing was moved.
void cancellation_point_after(long result) {
  if (result > 0 && libc_minor() >= 41) return;
  int error = errno;
  cancellation_point();
  errno = error;
}

}  // namespace mn
