// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/waitq.h"

#include <errno.h>

#include "runtime/os/tcb.h"
#include "runtime/sync/away.h"

namespace mn {

constinit Bucket wait_buckets[kWaitBuckets];

namespace {

// As the kernel's futexes: a real-time thread waits behind its equals, and before all others. False: its place is the
// end.
bool insert_by_priority(Bucket* b, Waiter* head, Waiter* w) {
  Waiter* after = head;
  while (after != nullptr && after->g->priority >= w->g->priority) after = after->next;
  if (after == nullptr) return false;
  w->next = after;
  w->prev = after->prev;
  after->prev = w;
  if (w->prev != nullptr) {
    w->prev->next = w;
    return true;
  }
  Waiter** link = &b->queues;
  while (*link != head) link = &(*link)->next_queue;
  *link = w;
  w->next_queue = head->next_queue;
  w->tail = head->tail;
  return true;
}

}  // namespace

Bucket* bucket_of(const void* key) {
  // Fibonacci hashing. The low three bits are dropped: two words of one 8-byte unit share a bucket, which the
  // reader-writer lock relies on.
  uint64_t h = (reinterpret_cast<uint64_t>(key) >> 3) * 0x9e3779b97f4a7c15u;
  return &wait_buckets[h >> (64 - kWaitBucketBits)];
}

Bucket* lock_bucket_of(Waiter* w) {
  for (;;) {
    // Relaxed: looked at again under the lock.
    const void* key = std::atomic_ref<const void*>(w->key).load(std::memory_order_relaxed);
    Bucket* b = bucket_of(key);
    b->lock.lock();
    if (MN_LIKELY(w->key == key)) return b;
    b->lock.unlock();
  }
}

void remove_waiter(Bucket* b, Waiter* w) {
  if (w->prev != nullptr) {
    w->prev->next = w->next;
    if (w->next != nullptr)
      w->next->prev = w->prev;
    else
      first_waiter(b, w->key)->tail = w->prev;
    return;
  }
  Waiter** link = &b->queues;
  while (*link != w) link = &(*link)->next_queue;
  Waiter* heir = w->next;
  if (heir == nullptr) {
    *link = w->next_queue;
    return;
  }
  heir->prev = nullptr;
  heir->tail = w->tail;
  heir->next_queue = w->next_queue;
  *link = heir;
}

void append_waiter(Bucket* b, Waiter* w) {
  w->next = nullptr;
  if (Waiter* head = first_waiter(b, w->key)) {
    if (MN_UNLIKELY(w->g->priority != 0) && insert_by_priority(b, head, w)) return;
    w->prev = head->tail;
    head->tail->next = w;
    head->tail = w;
    return;
  }
  w->prev = nullptr;
  w->tail = w;
  w->next_queue = b->queues;
  b->queues = w;
}

// Relaxed: the bucket's lock orders it; primitives look at their counter without the lock as a hint.
void drop_counter(uint32_t* counter) {
  if (counter == nullptr) return;
  std::atomic_ref<uint32_t>(*counter).fetch_sub(1, std::memory_order_relaxed);
}

void finish_wait(Bucket* b, Waiter* w, WaitState state) {
  remove_waiter(b, w);
  if (state != WaitState::kWoken) drop_counter(w->counter);
  w->state = state;
  w->g->waiter = nullptr;
}

Waiter* next_parked(Waiter* w) {
  while (w != nullptr && w->state == WaitState::kAway) w = w->next;
  return w;
}

void move_waiter(Bucket* from, Waiter* w, Bucket* to, const void* key) {
  remove_waiter(from, w);
  std::atomic_ref<const void*>(w->key).store(key, std::memory_order_relaxed);
  // interrupt_wait looks again under the lock.
  if (w->state == WaitState::kQueued) w->g->wait_key.store(key, std::memory_order_relaxed);
  append_waiter(to, w);
}

void replace_waiter(Bucket* b, Waiter* w, Waiter* heir) {
  heir->next = w->next;
  heir->prev = w->prev;
  if (w->next != nullptr) w->next->prev = heir;
  if (w->prev != nullptr) {
    w->prev->next = heir;
    if (w->next == nullptr) first_waiter(b, w->key)->tail = heir;
    return;
  }
  heir->tail = w->next != nullptr ? w->tail : heir;
  heir->next_queue = w->next_queue;
  Waiter** link = &b->queues;
  while (*link != w) link = &(*link)->next_queue;
  *link = heir;
}

namespace {

void fire(Timer* timer) {
  auto* w = reinterpret_cast<Waiter*>(reinterpret_cast<char*>(timer) - offsetof(Waiter, timer));
  Bucket* b = lock_bucket_of(w);
  G* g = nullptr;
  if (w->state == WaitState::kFresh) w->state = WaitState::kTimedOut;
  if (w->state == WaitState::kQueued) {
    g = w->g;
    finish_wait(b, w, WaitState::kTimedOut);
  }
  b->lock.unlock();
  if (g != nullptr) ready(g, Place::kTail);
}

MN_INLINE bool must_look_up(const G* g) {
  // Seq_cst loads: the waker's store precedes its look at wait_key, ours the other way round; the exchange of the
  // bucket's lock in between is the StoreLoad fence. They pair with note_signal and thread_cancel (cancel.cc).
  bool cancelled = g->cancel_poke.load(std::memory_order_seq_cst);
  uint64_t due = g->sigpend.load(std::memory_order_seq_cst) & ~g->sigmask;  // as above
  return MN_UNLIKELY(due != 0 || cancelled) && ((due & ~kCancelBit) != 0 || cancel_wanted(g));
}

// A queued one, whose thread has something to look up.
void interrupt_locked(Bucket* b, Waiter* w) {
  if (w->stays == Stays::kNo || (w->stays == Stays::kUntilCancelled && cancel_wanted(w->g)))
    return finish_wait(b, w, WaitState::kInterrupted);
  w->state = WaitState::kAway;
  w->g->waiter = nullptr;
}

struct Commitment {
  Bucket* bucket;
  Waiter* waiter;  // null: not queued
  const WaitHooks* hooks;
};

// Runs on the next G's stack. Once the bucket is unlocked the waiter's stack, where `arg` points, may be in use: copy.
void commit_wait(M*, G* g, void* arg) {
  auto c = *static_cast<Commitment*>(arg);
  auto after = c.hooks->after;
  void* after_arg = c.hooks->after_arg;
  // A signal may have come after the last look: it was deferred, and its sender found no wait to end.
  bool interrupted = must_look_up(g) && c.waiter != nullptr && !g->wired;
  if (MN_UNLIKELY(interrupted)) interrupt_locked(c.bucket, c.waiter);
  c.bucket->lock.unlock();
  if (after != nullptr) after(after_arg);
  if (MN_UNLIKELY(interrupted)) ready(g, Place::kNext);
}

void sleep_wired(G* g, Waiter* w, const WaitOptions& options, const Commitment& c) {
  if (!options.deadline.never()) w->timer.when = options.deadline.monotonic();  // for observers
  w->since = now_ns();  // the coarse time may stand still while no P runs
  sched.wired_parks.fetch_add(1, std::memory_order_relaxed);
  g->note.clear();
  commit_wait(nullptr, g, const_cast<Commitment*>(&c));
  for (;;) {
    int64_t until = options.deadline.monotonic();
    // A signal that came before the note was cleared is seen here, a later one ends the sleep.
    bool woken = !must_look_up(g) && g->note.sleep(until == kForever ? -1 : until, true);
    Bucket* b = lock_bucket_of(w);
    if (w->state == WaitState::kQueued) {
      if (must_look_up(g))
        interrupt_locked(b, w);
      else if (!woken && options.deadline.passed())
        finish_wait(b, w, WaitState::kTimedOut);
    }
    bool done = w->state != WaitState::kQueued;
    b->lock.unlock();
    if (!done) {
      g->note.clear();
      b = lock_bucket_of(w);
      done = w->state != WaitState::kQueued;
      b->lock.unlock();
    }
    if (done) return;
  }
}

// With the bucket locked, before it is queued. False: it does not wait, for the reason that its state says.
MN_INLINE bool begin_wait(Bucket* b, Waiter* w, const WaitOptions& options) {
  if (MN_UNLIKELY(options.back != nullptr)) {
    if (!come_back(b, w, options.back)) return false;
  } else if (w->state == WaitState::kTimedOut) {
    drop_counter(w->counter);
    return false;
  } else if (MN_UNLIKELY(w->stays == Stays::kNo ? must_look_up(w->g)
                                                : w->stays == Stays::kUntilCancelled && cancel_wanted(w->g))) {
    // A member waits even so: commit_wait() makes it go away from there.
    w->state = WaitState::kInterrupted;
    drop_counter(w->counter);
    return false;
  } else {
    append_waiter(b, w);
  }
  w->state = WaitState::kQueued;
  w->g->waiter = w;
  return true;
}

}  // namespace

bool cancel_wanted(const G* g) {
  return (g->cancel_poke.load(std::memory_order_relaxed) ||
          (g->sigpend.load(std::memory_order_relaxed) & kCancelBit) != 0) &&
         !tcb_cancel_disabled(g->tp);
}

MN_FLATTEN int wait_on(const void* key, const WaitOptions& options, WaitHooks& hooks) {
  G* g = this_g();
  Waiter w;
  w.key = key;
  w.g = g;
  w.counter = options.counter;
  w.bits = options.bits;
  w.kind = options.kind;
  w.stays = options.stays;
  w.since = sched.coarse_now.load(std::memory_order_relaxed);
  Bucket* b = bucket_of(key);
  TimerHeap* heap = nullptr;
  // Sleeps again when a settable clock was set back while the timer ran.
  if (!options.deadline.never() && !g->wired) {
    w.timer.when = options.deadline.monotonic();
    w.timer.fire = fire;
    heap = &g->m.load(std::memory_order_relaxed)->p->timers;
    heap->arm(&w.timer);
  }
  g->wait_key.store(key, std::memory_order_relaxed);
  b->lock.lock();
  bool refused = hooks.before != nullptr && !hooks.before(hooks.arg);
  if (MN_UNLIKELY(refused)) {
    b->lock.unlock();
  } else if (MN_LIKELY(begin_wait(b, &w, options))) {
    Commitment commitment{b, &w, &hooks};
    if (MN_UNLIKELY(g->wired)) {
      sleep_wired(g, &w, options, commitment);
    } else {
      ++g->m.load(std::memory_order_relaxed)->p->parks[static_cast<int>(w.kind)];
      park(commit_wait, &commitment);
    }
  } else {
    Commitment commitment{b, nullptr, &hooks};
    commit_wait(nullptr, g, &commitment);
  }
  g->wait_key.store(nullptr, std::memory_order_relaxed);
  if (heap != nullptr) heap->cancel(&w.timer);
  if (refused) return EAGAIN;
  if (MN_LIKELY(w.state == WaitState::kWoken)) return 0;
  if (w.state == WaitState::kTimedOut) return ETIMEDOUT;
  // Now it knows.
  if (!tcb_cancel_disabled(g->tp)) g->cancel_poke.store(false, std::memory_order_relaxed);
  if (w.state == WaitState::kAway) go_away(&w);
  return w.state == WaitState::kWoken ? 0 : w.state == WaitState::kAway ? kWentAway : EINTR;
}

int wake(const void* key, int count, WaitKind kind) {
  Bucket* b = bucket_of(key);
  Fifo<G, &G::next> woken;
  b->lock.lock();
  for (Waiter *w = first_waiter(b, key), *next; w != nullptr && static_cast<int>(woken.size()) < count; w = next) {
    next = w->next;
    if (MN_LIKELY(w->kind == kind && w->state == WaitState::kQueued)) woken.push_back(take_this_waiter(b, w));
  }
  b->lock.unlock();
  int n = static_cast<int>(woken.size());
  if (n == 1) {
    ready(woken.pop_front(), Place::kNext);
  } else {
    while (G* g = woken.pop_front()) ready(g, Place::kTail);
  }
  return n;
}

G* unpark(const void* key) {
  Bucket* b = bucket_of(key);
  SpinGuard guard(b->lock);
  return take_waiter(b, key);
}

bool interrupt_wait(G* g) {
  for (;;) {
    // Seq_cst: see must_look_up.
    const void* key = g->wait_key.load(std::memory_order_seq_cst);
    if (key == nullptr) return false;
    Bucket* b = bucket_of(key);
    b->lock.lock();
    Waiter* w = g->waiter;
    bool same = g->wait_key.load(std::memory_order_relaxed) == key;
    bool interrupts = same && w != nullptr && must_look_up(g);
    if (interrupts) interrupt_locked(b, w);
    b->lock.unlock();
    if (!same) continue;
    if (interrupts) ready(g, Place::kNext);
    return interrupts;
  }
}

}  // namespace mn
