// SPDX-License-Identifier: Apache-2.0
// Switching: what a P's M does from one G to the next. See sched.h for the rules.
//
// The fast path never leaves the two Gs: park() takes the next G from the local queue and switches to it directly. Only
// when the P has nothing is g0 resumed, whose loop may steal, sleep, or give the P away.
//
// Rejected: always switching through g0 (two switches per scheduling decision); publishing the parking G before the
// switch with a "running" flag that wakers spin on (a waker could spin for as long as the kernel keeps the M off its
// CPU); a lock per G.
#include "runtime/sched/sched.h"

#include <signal.h>

#include "runtime/sched/cputime.h"
#include "runtime/sched/netpoll.h"

namespace mn {

constinit Sched sched{};
thread_local constinit G* tls_g = nullptr;
constinit ptrdiff_t tls_g_offset = 0;
constinit std::atomic<int> vforks_under_way{0};
constinit SignalHook deliver_signals = nullptr;
constinit AdoptHook adopt_thread = nullptr;
constinit std::atomic<uint64_t> process_signals{0};
constinit std::atomic<uint64_t> held_signals{0};
constinit Hook route_process_signals = nullptr;
constinit SignalHook take_process_signals = nullptr;
constinit SignalContextHook deliver_signals_to = nullptr;
constinit RaisedHook drop_raised_signals = nullptr;
constinit MaskHook mask_for_sysmon = nullptr;
constinit TraceHooks trace_hooks{};
constinit Commit end_commit = nullptr;

namespace {

constexpr uint32_t kMaxNextStreak = 64;  // runnext may overtake the ring this often in a row
constexpr uint32_t kOvertaken = 64;      // Gs in the ring, at most, that sleepers may go before

// Of thousands of Gs that wait for descriptors each is out of the cache when its turn comes, and so are the frames of
// its wait, in a page that no other shares. They are fetched while the one before it runs: bench/echo.py with 10,000
// connections took 2 to 10 % less CPU time per request (42 pairs, five medians). For Gs in the cache it is only work (a
// yield among 1,000 took a third longer), so it is done for as many as came in bulk. Rejected: 24 lines of the stack
// (no faster), fetching what dispatch (io/netpoll.cc) touches (no difference).
MN_INLINE void prefetch_next(P* p) {
  constexpr size_t kLine = 64, kOfG = 4 * kLine, kOfStack = 12 * kLine;
  --p->cold;
  if (const G* second = p->runq.peek(1)) __builtin_prefetch(&second->ctx, 1);
  const G* g = p->runq.peek(0);
  if (g == nullptr) return;
  for (size_t at = 0; at < kOfG; at += kLine) __builtin_prefetch(reinterpret_cast<const char*>(g) + at, 1);
  for (size_t at = 0; at < kOfStack; at += kLine) __builtin_prefetch(static_cast<const char*>(g->ctx.sp) + at, 1);
  __builtin_prefetch(g->tp, 1);
}

// The next G of this P without stealing or sleeping; g0 when there is none.
MN_INLINE G* pick_local(M* m) {
  P* p = m->p;
  if (MN_UNLIKELY(p == nullptr)) return &m->g0;
  uint32_t tick = p->tick.load(std::memory_order_relaxed) + 1;
  p->tick.store(tick, std::memory_order_relaxed);
  if (MN_UNLIKELY(tick % kGlobalPoll == 0 || netpoll.due.load(std::memory_order_relaxed))) {
    // Not here: the parking G may hold a bucket's lock, which comes after the heap's.
    if (p->timers.next() != kForever && p->timers.next() <= now_ns()) return &m->g0;
    if (net_due(p)) return &m->g0;
    if (sched.global_size.load(std::memory_order_relaxed) != 0)
      if (G* g = global_get(m)) return g;
  }
  if (p->runq.has_next() && (p->next_streak < kMaxNextStreak || p->runq.ring_empty())) {
    if (G* g = p->runq.pop_next()) {
      ++p->next_streak;
      return g;
    }
  }
  p->next_streak = 0;
  if (G* g = p->runq.pop()) {
    if (MN_UNLIKELY(p->cold != 0)) prefetch_next(p);
    return g;
  }
  if (G* g = p->runq.pop_next()) return g;
  return &m->g0;
}

void commit_preempted(M* m, G* prev, void*);

SliceEnd how_it_ended(const G* g, Commit commit) {
  if (commit == commit_preempted) return SliceEnd::kPreempted;
  if (commit == end_commit) return SliceEnd::kEnds;
  return g->state == GState::kWaiting ? SliceEnd::kWaits : SliceEnd::kYields;
}

MN_NOINLINE void switch_observed(M* m) {
  G* g = m->prev;
  uint32_t observed = sched.observed.load(std::memory_order_relaxed);
  if ((observed & kTraced) != 0 && m->p != nullptr) {
    if (TraceRing* ring = m->p->trace; MN_LIKELY(ring->full())) {
      ++ring->skipped;
      m->cur->trace_flow = 0;
    } else {
      trace_hooks.switched(m, g, m->cur, how_it_ended(g, m->commit));
    }
  }
  if ((observed & kCpuTimes) != 0) charge_cpu_time(m, g);
  // The next G runs, before it looks at its notes. Seq_cst: pairs with signal_alert, which notes one and then looks
  // whether the G runs.
  if ((observed & kFenced) != 0) std::atomic_thread_fence(std::memory_order_seq_cst);
}

// By the running thread.
MN_NOINLINE void note_wake(G* g) {
  g->trace_flow = 0;
  P* p = this_g()->m.load(std::memory_order_relaxed)->p;
  if (p != nullptr && MN_UNLIKELY(!p->trace->full())) trace_hooks.readied(p, g);
}

MN_INLINE void switch_to(G* g, M* m, G* next, Commit commit, void* arg) {
  MN_DCHECK(g->locks == 1 && next->locks == 1, "switch outside");
  m->commit = commit;
  m->commit_arg = arg;
  m->prev = g;
  m->cur = next;
  next->m.store(m, std::memory_order_relaxed);
  next->state = GState::kRunning;
  if (MN_LIKELY(m->p != nullptr)) ++m->p->switches;
  if (MN_UNLIKELY(sched.observed.load(std::memory_order_relaxed) != 0)) switch_observed(m);
  if (MN_UNLIKELY(next->sigmask != m->kmask || next->altstack.sp != m->altstack.sp) && change_signal_state(m, g, next))
    return switch_off_alternate(g, next);
  context_switch(&g->ctx, &next->ctx, next->tp);
  finish_switch();
}

// Half of the ring, which was full, goes to the global queue, and g. Not inlined: a parked G keeps the frame that it
// parked in, and this one is large.
MN_NOINLINE void queue_overflow(RunQueue<G, kRing>& runq, G* g) {
  while (!runq.push(g)) {
    G* half[kRing / 2 + 1];
    uint32_t n = runq.pop_half(half);
    if (n == 0) continue;
    half[n++] = g;
    SpinGuard guard(sched.lock);
    for (uint32_t i = 0; i < n; ++i) global_put_locked(half[i]);
    return;
  }
}

// Tail of the local ring.
void queue_tail(M* m, G* g) {
  if (MN_UNLIKELY(!m->p->runq.push(g))) queue_overflow(m->p->runq, g);
}

void commit_yield(M* m, G* prev, void*) {
  prev->state = GState::kRunnable;
  if (m->p == nullptr)
    global_put(prev);
  else
    queue_tail(m, prev);
}

// What `wake` makes runnable goes before those who wait in the ring: how many. Those are out of the ring meanwhile, for
// thieves would mix the two.
template <class Wake>
uint32_t wake_first(M* m, Wake wake) {
  RunQueue<G, kRing>& runq = m->p->runq;
  G* waiting[kOvertaken];
  uint32_t n = 0;
  if (runq.ring_size() <= kOvertaken)
    while (n != kOvertaken && (waiting[n] = runq.pop()) != nullptr) ++n;
  wake();
  if (n == 0) return 0;
  uint32_t woken = runq.ring_size();
  for (uint32_t i = 0; i < n; ++i) queue_tail(m, waiting[i]);
  // Seq_cst: the submitter's fence (idle.cc): who looked meanwhile did not see them.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sched.n_idle_ps.load(std::memory_order_relaxed) != 0) wake_p();
  return woken;
}

void take_global(M* m) {
  while (sched.global_size.load(std::memory_order_relaxed) != 0) {
    G* g = global_get(m);
    if (g == nullptr || !m->p->runq.push(g)) {
      if (g != nullptr) global_put(g);
      break;
    }
  }
}

// On g0. `prev` queues behind the Gs that wait already, and these behind the Gs that a timer or another M has woken
// meanwhile: a G that computes hardly notices, but one that has slept would wait for a turn of each.
void commit_preempted(M* m, G* prev, void*) {
  prev->state = GState::kRunnable;
  P* p = m->p;
  if (p == nullptr) return global_put(prev);
  ++p->preemptions;
  int64_t now = now_ns();
  p->preempted_at.store(now, std::memory_order_relaxed);
  if (next_timer() <= now || sched.global_size.load(std::memory_order_relaxed) != 0)
    wake_first(m, [&] {
      run_timers(now);
      take_global(m);
    });
  // Alone here; where others wait for another P, they take turns on this one, too.
  if (p->runq.ring_empty() && sched.nprocs > 1)
    if (G* g = steal(m, false)) queue_tail(m, g);
  queue_tail(m, prev);
}

void commit_lost_p(M*, G* prev, void*) {
  prev->state = GState::kRunnable;
  global_put(prev);
}

}  // namespace

bool is_of_vfork_child() {
  return sys_getpid() != own_pid();
}

void run_timers_here(M* m, int64_t now) {
  P* p = m->p;
  uint32_t tick = p->tick.load(std::memory_order_relaxed);
  if (tick - p->jump_tick <= p->jumped) {
    run_timers(now);
    return;
  }
  p->jump_tick = tick;
  p->jumped = wake_first(m, [now] { run_timers(now); });
}

void finish_switch() {
  M* m = this_g()->m.load(std::memory_order_relaxed);
  if (Commit commit = m->commit) {
    m->commit = nullptr;
    commit(m, m->prev, m->commit_arg);
  }
}

void park(Commit commit, void* arg) {
  G* g = this_g();
  M* m = g->m.load(std::memory_order_relaxed);
  g->state = GState::kWaiting;
  switch_to(g, m, pick_local(m), commit, arg);
}

void park_for(G* next, Commit commit, void* arg) {
  G* g = this_g();
  g->state = GState::kWaiting;
  if (traced()) note_wake(next);
  switch_to(g, g->m.load(std::memory_order_relaxed), next, commit, arg);
}

bool yield_now() {
  G* g = this_g();
  M* m = g->m.load(std::memory_order_relaxed);
  G* next = pick_local(m);
  if (next == &m->g0) {
    bool timers = m->p != nullptr && m->p->timers.next() != kForever && m->p->timers.next() <= now_ns();
    bool net = m->p != nullptr && net_due(m->p);  // g0 was not picked for want of others, or they may come of it
    if (!timers && !net && sched.global_size.load(std::memory_order_relaxed) == 0) return false;
  }
  switch_to(g, m, next, commit_yield, nullptr);
  return true;
}

// By way of g0, which needs little of a stack that may be small.
void yield_preempted() {
  G* g = this_g();
  M* m = g->m.load(std::memory_order_relaxed);
  switch_to(g, m, &m->g0, commit_preempted, nullptr);
}

void ready(G* g, Place place) {
  if (MN_UNLIKELY(g->wired)) return g->note.signal();
  g->state = GState::kRunnable;
  G* self = this_g();
  M* m = self->m.load(std::memory_order_relaxed);
  if (MN_UNLIKELY(m == nullptr || m->p == nullptr)) return global_put(g);
  if (traced()) note_wake(g);
  if (place == Place::kNext) {
    if (G* kicked = m->p->runq.push_next(g)) queue_tail(m, kicked);
  } else {
    queue_tail(m, g);
    // Seq_cst: the G is visible before we look for idle Ps (pairs with the fence after n_spinning drops, idle.cc).
    if (sched.nprocs > 1) std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  if (sched.n_idle_ps.load(std::memory_order_relaxed) != 0) wake_p();
}

void ready_all(Fifo<G, &G::next>& gs) {
  M* m = this_g()->m.load(std::memory_order_relaxed);
  bool several = gs.size() > 1;
  // A P runs its ring first. What comes in bulk, every kGlobalPoll switches, queues up behind those that had no room
  // there, or they would hardly ever run.
  bool behind = sched.global_size.load(std::memory_order_relaxed) != 0;
  // Not more than the ring holds: those that thieves and g0 take from it are not counted off.
  if (several && m->p != nullptr) m->p->cold = gs.size() < kRing - m->p->cold ? m->p->cold + gs.size() : kRing;
  while (G* g = gs.pop_front()) {
    if (g->wired || m->p == nullptr) {
      ready(g, Place::kTail);
      continue;
    }
    g->state = GState::kRunnable;
    if (behind) {
      SpinGuard guard(sched.lock);
      global_put_locked(g);
    } else {
      queue_tail(m, g);
    }
  }
  if (!several || m->p == nullptr) return;
  // Seq_cst: as in ready().
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sched.n_idle_ps.load(std::memory_order_relaxed) != 0) wake_p();
}

MN_NOINLINE M* enter_slow(G* g, M* m) {
  uint32_t seen = m->attention.load(std::memory_order_relaxed);
  while (seen == kClaim || seen == kPreempt) {
    // Acq_rel: pairs with sysmon's compare-exchange; exactly one of the two wins.
    if (!m->attention.compare_exchange_weak(seen, kNone, std::memory_order_acq_rel)) continue;
    if (seen == kPreempt && preempt_due(m)) yield_preempted();
    return this_g()->m.load(std::memory_order_relaxed);
  }
  if (seen == kNone) return m;
  MN_CHECK(seen == kLostP, "attention word");
  m->attention.store(kNone, std::memory_order_relaxed);
  m->p = nullptr;
  sched.lock.lock();
  P* p = get_idle_p_locked();
  sched.lock.unlock();
  if (p != nullptr) {
    acquire_p(m, p);
    return m;
  }
  switch_to(g, m, &m->g0, commit_lost_p, nullptr);
  return this_g()->m.load(std::memory_order_relaxed);
}

void release_p(M* m) {
  P* p = m->p;
  if (p == nullptr) return;
  if (traced()) trace_hooks.lost(p);
  m->p = nullptr;
  // Relaxed: sysmon, which withdraws from an M that is inside, does not touch it any more.
  m->attention.store(kLostP, std::memory_order_relaxed);
  p->m.store(nullptr, std::memory_order_relaxed);
  hand_off_p(p);
}

MN_NOINLINE void leave_slow(G* g) {
  if (deliver_signals != nullptr) deliver_signals(g);
}

void set_kernel_mask(M* m, uint64_t mask) {
  m->kmask = mask;
  uint64_t set = mask & ~kUnmaskable;
  if (MN_UNLIKELY(refused(raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&set), 0, 8))))
    fatal("rt_sigprocmask is refused: signals would reach other threads", "sched/sched.cc");
}

void run_wired(M* m) {
  m->wired = m->born_for->wired = true;
  switch_to(&m->g0, m, m->born_for, nullptr, nullptr);
}

void g0_loop(M* m) {
  for (;;) {
    if (MN_UNLIKELY(m_retires(m))) return;
    G* next = find_runnable(m);
    if (MN_UNLIKELY(next == nullptr)) return m_stops(m);
    m = this_g()->m.load(std::memory_order_relaxed);
    switch_to(&m->g0, m, next, nullptr, nullptr);
  }
}

}  // namespace mn
