// SPDX-License-Identifier: Apache-2.0
// Ms and Ps without work: how they sleep and are woken.
//
// The danger is the lost wake-up: a G is made ready while the last looking M decides that there is nothing and goes to
// sleep. Two orders prevent it, as in Go:
//
//   submitter                                   M that stops looking (find.cc)
//   1. make the G visible (queue)               1. give up the P, n_spinning - 1
//   2. StoreLoad fence                          2. StoreLoad fence
//   3. idle P and n_spinning == 0 ? wake an M   3. look at all queues once more
//
// Whichever fence comes second sees what the other did. As long as one M spins, submitters need not wake anybody: the
// spinning M will find the G, and on finding work the last spinner wakes one more M, so that parallelism grows while
// there is work for it. At most half as many Ms spin as Ps are busy.
//
// An idle M sleeps on its note, off all lists but idle_ms. One of them, the timekeeper, sleeps only until the next
// timer of any P; when an M with an earlier timer goes to sleep it becomes the timekeeper in the other's place. Where
// threads wait for descriptors one idle M, the poller, sleeps in netpoll instead of on its note; it is woken by both.
#include "runtime/os/confined.h"
#include "runtime/sched/netpoll.h"
#include "runtime/sched/sched.h"

namespace mn {

constinit Netpoll netpoll{};

namespace {

// When this idle M must wake by itself; kForever: others see to timers and descriptors. Sched::lock.
int64_t take_watch(M* m) {
  // A poller that finds no P to run what is ready would only take CPU time from those who have one.
  bool polls = netpoll.wanted() && may_use(kReadiness) && netpoll.poller.load(std::memory_order_relaxed) == nullptr &&
               (sched.n_idle_ps.load(std::memory_order_relaxed) != 0 || netpoll.neglected(now_ns()));
  int64_t due = next_timer();
  if (due < sched.watched_until) {
    sched.timekeeper = m;
    sched.watched_until = due;
  } else if (!polls) {
    return kForever;
  }
  if (polls) netpoll.poller.store(m, std::memory_order_relaxed);
  return due;
}

void drop_watch(M* m) {
  if (sched.timekeeper == m) {
    sched.timekeeper = nullptr;
    sched.watched_until = kForever;
  }
  if (netpoll.poller.load(std::memory_order_relaxed) == m) netpoll.poller.store(nullptr, std::memory_order_relaxed);
}

bool watches(const M* m) {
  return m == sched.timekeeper || m == netpoll.poller.load(std::memory_order_relaxed);
}

}  // namespace

// An M that was taken off the idle list and given what it needs.
void rouse(M* m) {
  bool polls = netpoll.poller.load(std::memory_order_relaxed) == m;
  m->note.signal();
  if (!polls) return;
  if (this_g()->m.load(std::memory_order_relaxed)->own_descriptors)
    request_interrupt();
  else
    netpoll.interrupt();
}

// The timekeeper and the poller only if there is no other.
M* take_idle_m_locked(P* p) {
  M** link = &sched.idle_ms;
  while (*link != nullptr && watches(*link)) link = &(*link)->next_idle;
  if (*link == nullptr) link = &sched.idle_ms;
  M* m = *link;
  if (m == nullptr) return nullptr;
  *link = m->next_idle;
  m->listed = false;
  --sched.n_idle_ms;
  m->given = p;
  return m;
}

bool sleep_idle(M* m) {
  sched.lock.lock();
  // Put there since the caller found none, by somebody who saw no idle M.
  if (MN_UNLIKELY(sched.idle_ps != nullptr) && any_work()) {
    P* p = get_idle_p_locked();
    sched.lock.unlock();
    acquire_p(m, p);
    return true;
  }
  int64_t until = take_watch(m);
  bool polls = netpoll.poller.load(std::memory_order_relaxed) == m;
  m->next_idle = sched.idle_ms;
  sched.idle_ms = m;
  m->listed = true;
  ++sched.n_idle_ms;
  m->given = nullptr;
  m->note.clear();
  sched.lock.unlock();
  if (MN_UNLIKELY(m->fresh)) m_settles(m);
  // Whoever runs next here sets its own mask; meanwhile sysmon takes the process's signals as main would.
  if (!polls && m->kmask != kIdleMask) set_kernel_mask(m, kIdleMask);

  bool woken = false;
  int n_events = 0;
  epoll_event events[kNetpollEvents];
  if (polls)
    n_events = netpoll.collect(events, until);
  else
    woken = m->note.sleep(until == kForever ? -1 : until, true);

  sched.lock.lock();
  drop_watch(m);
  if (m->listed) {  // the timer or a descriptor is due, or a signal came
    m->listed = false;
    M** link = &sched.idle_ms;
    while (*link != m) link = &(*link)->next_idle;
    *link = m->next_idle;
    --sched.n_idle_ms;
    m->given = get_idle_p_locked();
  } else if (!woken) {
    sched.lock.unlock();
    m->note.sleep();  // the giver is on its way to signal
    sched.lock.lock();
  }
  P* p = m->given;
  m->given = nullptr;
  sched.lock.unlock();
  if (p != nullptr) acquire_p(m, p);
  if (n_events != 0) ready_events(events, n_events);
  return p != nullptr;
}

void global_put_locked(G* g) {
  sched.global.push_back(g);
  sched.global_size.store(sched.global.size(), std::memory_order_relaxed);
}

void global_put(G* g) {
  sched.lock.lock();
  global_put_locked(g);
  sched.lock.unlock();
  // Seq_cst: the submitter's fence of the protocol above; pairs with stop_spinning's.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sched.n_idle_ps.load(std::memory_order_relaxed) != 0) wake_p();
}

void put_idle_p_locked(P* p) {
  p->m.store(nullptr, std::memory_order_relaxed);
  p->next_idle = sched.idle_ps;
  sched.idle_ps = p;
  sched.n_idle_ps.fetch_add(1, std::memory_order_relaxed);
}

P* get_idle_p_locked() {
  P* p = sched.idle_ps;
  if (p == nullptr) return nullptr;
  sched.idle_ps = p->next_idle;
  sched.n_idle_ps.fetch_sub(1, std::memory_order_relaxed);
  // Seq_cst exchange: pairs with sysmon's, which sets it and then counts idle Ps once more.
  if (sched.sysmon_asleep.load(std::memory_order_seq_cst)) sysmon_wake();
  return p;
}

void acquire_p(M* m, P* p) {
  m->p = p;
  // Release: pairs with sysmon's acquire of P::m; it sees m->p.
  p->m.store(m, std::memory_order_release);
  if (traced()) trace_hooks.taken(m);
}

void wake_p() {
  int none = 0;
  // Seq_cst: one submitter gets to wake one spinner (pairs with stop_spinning).
  if (sched.n_spinning.load(std::memory_order_relaxed) != 0 ||
      !sched.n_spinning.compare_exchange_strong(none, 1, std::memory_order_seq_cst))
    return;
  sched.lock.lock();
  P* p = get_idle_p_locked();
  M* m = p != nullptr ? take_idle_m_locked(p) : nullptr;
  if (m != nullptr) {
    m->spinning = true;
    sched.lock.unlock();
    return rouse(m);
  }
  if (p != nullptr) put_idle_p_locked(p);
  sched.lock.unlock();
  // Seq_cst: as in stop_spinning.
  sched.n_spinning.fetch_sub(1, std::memory_order_seq_cst);
  if (p != nullptr) request_m();  // it will look for work by itself
}

void hand_off_p(P* p) {
  bool work = !p->runq.empty() || sched.global_size.load(std::memory_order_relaxed) != 0 ||
              (sched.n_spinning.load(std::memory_order_relaxed) == 0 && any_work());
  sched.lock.lock();
  M* m = work ? take_idle_m_locked(p) : nullptr;
  if (m != nullptr) sched.handoffs.fetch_add(1, std::memory_order_relaxed);
  if (m == nullptr) put_idle_p_locked(p);
  // Any P's timer: who was the timekeeper may be the one that blocks.
  bool unwatched = next_timer() < sched.watched_until ||
                   (netpoll.wanted() && netpoll.poller.load(std::memory_order_relaxed) == nullptr);
  if (m == nullptr && unwatched) {
    // An idle M looks, finds no work and becomes the timekeeper or the poller.
    P* idle = get_idle_p_locked();
    m = take_idle_m_locked(idle);
    if (m == nullptr) put_idle_p_locked(idle);
  }
  sched.lock.unlock();
  if (m != nullptr) return rouse(m);
  if (work || unwatched) return request_m();
  // A G may have been submitted since the look, by somebody who saw no idle P: the M that lost this one, for its G.
  // Seq_cst: the P is idle before we look again (pairs with the submitter's fence).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (any_work()) wake_p();
}

void poll_neglected(int64_t now) {
  if (MN_LIKELY(!netpoll.neglected(now))) {
    // What it was set for may have ended by itself; every switch looks at it.
    if (!netpoll.wanted() && netpoll.due.load(std::memory_order_relaxed))
      netpoll.due.store(false, std::memory_order_relaxed);
    return;
  }
  // A P that switches asks next; the second time nobody did.
  if (!netpoll.due.exchange(true, std::memory_order_relaxed)) {
    netpoll.last.store(now, std::memory_order_relaxed);
    return;
  }
  sched.lock.lock();
  M* m = take_idle_m_locked(nullptr);
  sched.lock.unlock();
  if (m != nullptr)
    rouse(m);
  else
    request_m();
}

}  // namespace mn
