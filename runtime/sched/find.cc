// SPDX-License-Identifier: Apache-2.0
// How an M with a P finds the next G to run. What it does when there is none: idle.cc, which also has the protocol by
// which no wake-up is lost between the two.
#include "runtime/sched/netpoll.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constexpr int kIdleSpins = 24;        // sweeps over the queues before an M sleeps
constexpr int kSpinPauses = 24;       // pause instructions between two (20 to 70 ns each)
constexpr int kRunnextEvery = 4;      // sweeps
constexpr int kRunnextPatience = 48;  // pauses that a runnext must have stood to be stolen

void stop_spinning(M* m) {
  if (!m->spinning) return;
  m->spinning = false;
  // Seq_cst: the StoreLoad fence of the protocol in idle.cc; pairs with the submitter's.
  sched.n_spinning.fetch_sub(1, std::memory_order_seq_cst);
}

// Found work: if nobody is looking any more and there may be more of it, wake another.
void found_work(M* m) {
  if (MN_UNLIKELY(m->fresh)) m_settles(m);
  if (!m->spinning) return;
  m->spinning = false;
  // Seq_cst: as in stop_spinning.
  if (sched.n_spinning.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
      sched.n_idle_ps.load(std::memory_order_relaxed) != 0)
    wake_p();
}

// True: there were some.
MN_NOINLINE bool poll_events() {
  epoll_event events[kNetpollEvents];
  int n = netpoll.collect(events, 0);
  if (n != 0) ready_events(events, n);
  return n != 0;
}

}  // namespace

void ready_events(const epoll_event* events, int n) {
  Fifo<G, &G::next> gs = netpoll.dispatch(events, n);
  ready_all(gs);
}

bool any_work() {
  if (sched.global_size.load(std::memory_order_relaxed) != 0) return true;
  for (int i = 0; i < sched.nprocs; ++i)
    if (!sched.ps[i]->runq.empty()) return true;
  return false;
}

// One sweep over the other Ps. Reading a busy P's queue takes its cache line away from it: sweeps are spaced out, and
// runnext, which its owner will run within a moment, on the CPU that has it in cache, is left to it at first.
G* steal(M* m, bool runnext_too) {
  P* self = m->p;
  auto n = static_cast<uint32_t>(sched.nprocs);
  uint32_t at = m->rand.below(n);
  for (uint32_t i = 0; i < n; ++i, at = at + 1 == n ? 0 : at + 1) {
    P* victim = sched.ps[at];
    if (victim == self) continue;
    G* g = self->runq.steal_from(victim->runq);
    if (g == nullptr && runnext_too && victim->runq.has_next()) {
      G* before = victim->runq.peek_next();
      for (int spin = 0; spin < kRunnextPatience; ++spin) cpu_relax();
      if (before != nullptr && victim->runq.peek_next() == before) g = victim->runq.steal_next();
    }
    if (g != nullptr) {
      ++self->steals;
      return g;
    }
  }
  return nullptr;
}

bool net_due(const P* p) {
  return netpoll.wanted() && (netpoll.due.load(std::memory_order_relaxed) ||
                              p->tick.load(std::memory_order_relaxed) - p->net_tick >= kGlobalPoll);
}

int64_t next_timer() {
  int64_t at = kForever;
  for (int i = 0; i < sched.nprocs; ++i)
    if (int64_t next = sched.ps[i]->timers.next(); next < at) at = next;
  return at;
}

G* global_get(M* m) {
  SpinGuard guard(sched.lock);
  uint32_t size = sched.global.size();
  if (size == 0) return nullptr;
  uint32_t n = size / static_cast<uint32_t>(sched.nprocs) + 1;
  if (n > size) n = size;
  if (n > 128) n = 128;
  G* first = sched.global.pop_front();
  while (--n != 0) {
    G* g = sched.global.pop_front();  // before the push: once it is in the ring, `next` is the thief's
    if (!m->p->runq.push(g)) {
      sched.global.push_front(g);
      break;
    }
  }
  sched.global_size.store(sched.global.size(), std::memory_order_relaxed);
  return first;
}

bool run_timers(int64_t now) {
  int fired = 0;
  for (int i = 0; i < sched.nprocs; ++i) fired += sched.ps[i]->timers.run(now);
  return fired != 0;
}

// In Go's order: timers, its own queue, the global one, descriptors, others' queues.
static inline G* look_for_work(M* m, P* p, int look) {
  int64_t due = next_timer();
  if (due != kForever) {
    int64_t now = now_ns();
    if (due <= now) run_timers_here(m, now);
  }
  G* g = p->runq.pop_next();
  if (g == nullptr) g = p->runq.pop();
  if (g == nullptr && sched.global_size.load(std::memory_order_relaxed) != 0) g = global_get(m);
  if (look == 0 && ((g == nullptr && netpoll.wanted()) || net_due(p))) {
    p->net_tick = p->tick.load(std::memory_order_relaxed);
    if (poll_events() && g == nullptr) g = p->runq.pop();
  }
  if (g != nullptr || sched.nprocs == 1) return g;
  int busy = sched.nprocs - sched.n_idle_ps.load(std::memory_order_relaxed);
  if (!m->spinning && 2 * sched.n_spinning.load(std::memory_order_relaxed) < busy) {
    m->spinning = true;
    sched.n_spinning.fetch_add(1, std::memory_order_relaxed);
  }
  return m->spinning ? steal(m, look % kRunnextEvery == kRunnextEvery - 1) : nullptr;
}

G* find_runnable(M* m) {
  for (;;) {
    // Seq_cst: pairs with sched_stop, which sets it and then wakes those that sleep.
    if (const M* last = sched.stopping.load(std::memory_order_seq_cst); MN_UNLIKELY(last != nullptr) && m != last)
      return nullptr;
    if (process_signals.load(std::memory_order_relaxed) != 0) route_process_signals();
    if (m->p == nullptr) {
      sched.lock.lock();
      P* p = get_idle_p_locked();
      sched.lock.unlock();
      if (p != nullptr)
        acquire_p(m, p);
      else if (!sleep_idle(m))
        continue;
    }
    P* p = m->p;
    p->tick.fetch_add(1, std::memory_order_relaxed);
    for (int look = 0; look < kIdleSpins; ++look) {
      if (G* g = look_for_work(m, p, look)) {
        found_work(m);
        return g;
      }
      if (!m->spinning) break;
      for (int i = 0; i < kSpinPauses; ++i) cpu_relax();
    }
    sched.lock.lock();
    if (!sched.global.empty()) {
      sched.lock.unlock();
      continue;
    }
    m->p = nullptr;
    put_idle_p_locked(p);
    sched.lock.unlock();
    stop_spinning(m);
    // Seq_cst: the fence of the M that stops looking (an M that did not spin gives up its P all the same); pairs with
    // the submitter's.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!any_work() && !sleep_idle(m)) continue;
  }
}

}  // namespace mn
