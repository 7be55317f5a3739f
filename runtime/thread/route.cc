// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/route.h"

#include <errno.h>
#include <signal.h>

#include "runtime/os/confined.h"
#include "runtime/sched/gpool.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/note.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit std::atomic<uint64_t> signals_closed{~uint64_t{0}};

namespace {

constinit std::atomic<uint64_t> g_caught{0};
// As the program set it: while main runs a handler, or waits with another mask, sysmon keeps to it.
constexpr uint64_t kUnknown = ~uint64_t{0};
constinit std::atomic<uint64_t> g_main_mask{kUnknown};
// Held by who has notes of the process in its hands, on the way to the kernel or to a G: they, and what the kernel has,
// keep their order. Not by a G that takes what it has open: it is the next to run them. Inside, or with all signals
// blocked.
constinit SpinLock g_moving;

// Hook of sysmon. Who changes one of the three words calls sysmon_mask_changed() then.
uint64_t what_sysmon_blocks() {
  if (sched.main_g == nullptr) return kAllMasked;
  uint64_t mask = g_main_mask.load(std::memory_order_seq_cst);  // pairs with signals_main_mask
  if (mask == kUnknown) {
    uint64_t present = sched.main_g->sigmask;
    if (g_main_mask.compare_exchange_strong(mask, present, std::memory_order_relaxed)) mask = present;
  }
  uint64_t closed = signals_closed.load(std::memory_order_seq_cst);     // pairs with give_back, signals_opened_slow
  return mask & ~(g_caught.load(std::memory_order_seq_cst) & ~closed);  // pairs with signal_caught
}

struct Search {
  uint64_t bit;
  G* found = nullptr;

  static bool fits(const G* g, const void* self) { return (g->sigmask & static_cast<const Search*>(self)->bit) == 0; }
};

bool takes(const G* g, const Search& search) {
  bool lives =
      (g->state == GState::kRunnable || g->state == GState::kRunning || g->state == GState::kWaiting) && !ended(g);
  return lives && !g->system && Search::fits(g, &search);
}

void visit(G* g, void* arg) {
  auto* search = static_cast<Search*>(arg);
  if (search->found == nullptr && takes(g, *search)) search->found = g;
}

// Who took a signal last, by its number. G's memory stays: what has become of it meanwhile is looked at.
constinit std::atomic<G*> g_last_taker[kSignals];

G* search_taker(Search& search) {
  if (G* g = find_waiting(Search::fits, &search)) return g;
  for (int i = 0; i < sched.nprocs; ++i) {
    M* m = sched.ps[i]->m.load(std::memory_order_acquire);  // pairs with acquire_p
    G* g = m != nullptr ? m->cur : nullptr;
    if (g != nullptr && !g->system && Search::fits(g, &search)) return g;
  }
  gpool_for_each(visit, &search);
  return search.found;
}

// Main, if it can; else who took it last, or a G that waits, or runs, or is about to. Null: none. The search looks at
// all threads, some 0.2 to 4 ms; the last one, which is nearly always right, costs nothing.
G* find_taker(uint64_t mask_bit) {
  Search search{mask_bit};
  if (sched.main_g != nullptr && Search::fits(sched.main_g, &search)) return sched.main_g;
  std::atomic<G*>& last = g_last_taker[__builtin_ctzll(mask_bit) + 1];
  G* g = last.load(std::memory_order_relaxed);
  if (g != nullptr && takes(g, search)) return g;
  g = search_taker(search);
  last.store(g, std::memory_order_relaxed);
  return g;
}

bool on_sysmon() {
  const G* g = this_g();
  return g->system && g->m.load(std::memory_order_relaxed)->own_descriptors;
}

// While they are not moved: whoever takes notes of the process leaves the bit where there may be more.
bool noted_for_process(int sig) {
  uint64_t noted = process_signals.load(std::memory_order_acquire);  // pairs with route_signals, which sets held first
  noted |= held_signals.load(std::memory_order_relaxed);
  return (noted & bit(sig)) != 0 && has_note(kProcess, sig);
}

// Main has it open, if for a moment it may not.
bool main_takes(int sig) {
  return (g_main_mask.load(std::memory_order_relaxed) & bit(sig)) == 0;
}

// All that is noted of it for the process.
void give_to_kernel(int sig) {
  siginfo_t info;
  while (take_note(kProcess, sig, &info))
    // Only the first kernel thread may say that it was kill(); who sent it is lost then.
    if (raw_syscall(SYS_rt_sigqueueinfo, sys_getpid(), sig, sys_arg(&info)) != 0)
      raw_syscall(SYS_kill, sys_getpid(), sig);
}

// The caller holds g_moving and has taken the process's notes of sig. It clears the bit, and sets it again if a handler
// has noted one since: the thread that routes that one may find no G for it, and leaves the bit to the next that looks.
void clear_held(int sig) {
  held_signals.fetch_and(~bit(sig), std::memory_order_seq_cst);  // pairs with route_signals, which sets it after a note
  if (has_note(kProcess, sig)) held_signals.fetch_or(bit(sig), std::memory_order_relaxed);
}

// By sysmon. Nobody takes it: it is to wait in the kernel.
void give_back(int sig) {
  SpinGuard moving(g_moving);  // before it is closed: who sees that it was waits until the kernel has it
  // Pairs with signals_opened: who sets a mask looks at this word after a system call, which took a lock in between.
  signals_closed.fetch_or(bit(sig), std::memory_order_seq_cst);
  if (find_taker(bit(sig)) != nullptr) return signals_opened_slow(~bit(sig));  // he may have looked before
  sysmon_mask_changed(0);
  if (sysmon_takes(bit(sig))) return;  // for main, which blocks it for a moment only: it would come back at once
  held_signals.fetch_and(~bit(sig), std::memory_order_seq_cst);  // pairs with wait_for_move
  give_to_kernel(sig);
}

// What was noted for g and sent to the process is the process's again, by return_notes or forget_notes; true if there
// was such. The caller holds g_moving. The bit is set before it leaves g's word: who asks what is pending does not miss
// it. And after: a G that opens the signal in between clears the bit, and finds no note yet.
bool take_off(G* g, int sig, bool (*sort)(G*, int)) {
  held_signals.fetch_or(bit(sig), std::memory_order_seq_cst);  // pairs with take_held_signals
  const bool any = sort(g, sig);
  if (any)
    held_signals.fetch_or(bit(sig), std::memory_order_seq_cst);  // as above
  else
    clear_held(sig);
  return any;
}

// The same of a G that has blocked it since it was given it. False, too, if it has opened it again: it looks for notes.
bool take_back(G* g, int sig) {
  SpinGuard moving(g_moving);
  return (g->sigmask & bit(sig)) != 0 && take_off(g, sig, return_notes);
}

// Finds others for what was noted for g. Inside.
void give_to_others(G* g, uint64_t due, bool (*sort)(G*, int)) {
  bool any = false;
  {
    SpinGuard moving(g_moving);
    for (; due != 0; due &= due - 1) any |= take_off(g, __builtin_ctzll(due) + 1, sort);
  }
  if (any) route_signals();
}

// After its mask has changed.
uint64_t noted_for(const G* g) {
  if (sched.fence_on_enter) std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with signal_alert's
  __asm__ volatile("" ::: "memory");  // signal_alert's membarrier makes this a StoreLoad fence
  return g->sigpend.load(std::memory_order_relaxed);
}

}  // namespace

void signals_opened_slow(uint64_t mask) {
  signals_closed.fetch_and(mask, std::memory_order_seq_cst);  // pairs with what_sysmon_blocks
  sysmon_mask_changed(0);
}

void signal_caught(int sig, bool caught) {
  if (((g_caught.load(std::memory_order_relaxed) & bit(sig)) != 0) == caught) return;
  if (caught)
    g_caught.fetch_or(bit(sig), std::memory_order_seq_cst);  // pairs with what_sysmon_blocks
  else
    g_caught.fetch_and(~bit(sig), std::memory_order_seq_cst);  // the same
  sysmon_mask_changed(bit(sig));
}

void signals_main_mask(uint64_t mask) {
  g_main_mask.store(mask, std::memory_order_seq_cst);  // pairs with what_sysmon_blocks
  sysmon_mask_changed(mask);
}

bool signal_has_taker(int sig) {
  return find_taker(bit(sig)) != nullptr;
}

int note_for_process(int sig, const siginfo_t* info) {
  for (;;) {
    {
      SpinGuard moving(g_moving);
      bool before = noted_for_process(sig);           // one that the kernel is to have before this
      bool ours = before || signal_has_taker(sig) ||  // or sysmon takes it, or is about to
                  (sched.main_g != nullptr && ((what_sysmon_blocks() & bit(sig)) == 0 || sysmon_takes(bit(sig))));
      if (!ours) return -1;
      if ((before && sig < kFirstQueued) || note_signal(kProcess, sig, info, Sent::kToProcess)) {
        process_signals.fetch_or(bit(sig), std::memory_order_seq_cst);  // pairs with route
        return 0;
      }
    }
    if (signal_has_taker(sig) || main_takes(sig)) return EAGAIN;
    // There are too many until sysmon has given them to the kernel.
    sched.sysmon_note.signal();
    yield_cpu();
  }
}

int take_process_signal(uint64_t set, siginfo_t* info) {
  SpinGuard moving(g_moving);
  for (uint64_t due = held_signals.load(std::memory_order_relaxed) & set; due != 0; due &= due - 1) {
    int sig = __builtin_ctzll(due) + 1;
    // What the kernel has of it is older.
    if (int got = signal_take_pending(set & (bit(sig) | (bit(sig) - 1)), info); got != 0) return got;
    const bool taken = take_note(kProcess, sig, info);
    clear_held(sig);
    if (taken) return sig;
  }
  return 0;
}

bool wait_for_move() {
  if (MN_LIKELY(!g_moving.held())) return false;
  while (g_moving.held()) yield_cpu();
  return true;
}

uint64_t pending_signals(const G* g) {
  SpinGuard moving(g_moving);
  uint64_t pending = g->sigpend.load(std::memory_order_relaxed);
  pending |= process_signals.load(std::memory_order_acquire);  // pairs with route_signals, which sets held first
  return (pending | held_signals.load(std::memory_order_relaxed)) & ~(kPolicyBit | kCancelBit);
}

void route_signals() {
  // One of the two words has it at any time, until it is a G's: who ends a handler must not miss it.
  uint64_t due = process_signals.load(std::memory_order_relaxed);
  held_signals.fetch_or(due, std::memory_order_seq_cst);       // pairs with signals_reopened
  process_signals.fetch_and(~due, std::memory_order_seq_cst);  // pairs with on_signal
  due |= held_signals.load(std::memory_order_relaxed);
  while (due != 0) {
    int sig = __builtin_ctzll(due) + 1;
    due &= due - 1;
    // Before the look: a G that unblocks it meanwhile is found, or finds it. Seq_cst: pairs with take_held_signals.
    held_signals.fetch_or(bit(sig), std::memory_order_seq_cst);
    G* target = find_taker(bit(sig));
    if (target == nullptr) {
      if (on_sysmon() && may_use(kHolding)) give_back(sig);
      continue;
    }
    bool moved = false;  // another thread that routes may have been faster
    {
      SpinGuard moving(g_moving);
      siginfo_t info;
      for (; take_note(kProcess, sig, &info); moved = true) note_signal(target, sig, &info, Sent::kToProcess);
      clear_held(sig);
    }
    if (!moved) continue;
    signal_alert(target, sig);
    if ((target->sigmask & bit(sig)) == 0) continue;
    if (take_back(target, sig)) due |= bit(sig);
    if ((target->sigpend.load(std::memory_order_relaxed) & bit(sig)) != 0) signal_alert(target, sig);
  }
}

void take_held_signals(G* g) {
  uint64_t due = held_signals.load(std::memory_order_seq_cst);  // pairs with route_signals
  due |= process_signals.load(std::memory_order_relaxed);
  due &= ~g->sigmask;
  while (due != 0) {
    int sig = __builtin_ctzll(due) + 1;
    due &= due - 1;
    held_signals.fetch_and(~bit(sig), std::memory_order_relaxed);
    process_signals.fetch_and(~bit(sig), std::memory_order_relaxed);
    siginfo_t info;
    while (take_note(kProcess, sig, &info)) note_signal(g, sig, &info, Sent::kToProcess);
  }
}

void take_from_process(G* g) {
  do {
    uint64_t others = held_signals.load(std::memory_order_relaxed) | process_signals.load(std::memory_order_relaxed);
    if (MN_UNLIKELY((others & ~g->sigmask) != 0)) take_held_signals(g);
  } while (wait_for_move());  // what was moved may be the process's again
}

void signals_reopened(G* g) {
  // Between the mask and the look: who has closed one, or holds one, looks at this mask after it (pairs with
  // give_back).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  take_from_process(g);
  uint64_t closed = signals_closed.load(std::memory_order_relaxed) & ~g->sigmask;
  if (MN_LIKELY(closed == 0) || g == sched.main_g) return;
  const uint64_t set = closed & g_caught.load(std::memory_order_relaxed);
  siginfo_t info;
  while (int sig = signal_take_pending(set, &info)) note_signal(g, sig, &info, Sent::kToProcess);
  signals_opened_slow(g->sigmask);
}

void give_up_signals(G* g) {
  uint64_t due = noted_for(g) & g->sigmask;
  if (MN_LIKELY(due == 0)) return;
  enter();
  give_to_others(g, due, return_notes);
  leave();
}

void signals_begin(G* g) {
  if (MN_LIKELY(noted_for(g) == 0)) return;
  enter();
  // Before the records: one noted later sets it again (pairs with note_signal).
  uint64_t due = g->sigpend.exchange(0, std::memory_order_seq_cst) & kAllMasked;
  give_to_others(g, due, forget_notes);
  leave();
}

void signals_end(G* g) {
  g->sigmask = kAllMasked;
  uint64_t due = noted_for(g) & kAllMasked;
  if (MN_UNLIKELY(due != 0)) give_to_others(g, due, forget_notes);
}

void noted_to_kernel() {
  uint64_t due = process_signals.load(std::memory_order_relaxed) | held_signals.load(std::memory_order_relaxed);
  for (; due != 0; due &= due - 1) give_to_kernel(__builtin_ctzll(due) + 1);
}

void signals_to_kernel() {
  noted_to_kernel();
  routes_reset();
}

void routes_reset() {
  process_signals.store(0, std::memory_order_relaxed);
  held_signals.store(0, std::memory_order_relaxed);
  g_moving.reset_after_fork();
  for (auto& last : g_last_taker)
    if (last.load(std::memory_order_relaxed) != nullptr) last.store(nullptr, std::memory_order_relaxed);
  signals_closed.store(~uint64_t{0}, std::memory_order_relaxed);
  g_main_mask.store(kUnknown, std::memory_order_relaxed);  // who forked is main now
}

void routes_init() {
  route_process_signals = route_signals;
  take_process_signals = take_held_signals;
  mask_for_sysmon = what_sysmon_blocks;
}

}  // namespace mn
