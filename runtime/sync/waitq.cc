// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/waitq.h"

#include <errno.h>

namespace mn {
namespace {

constexpr int kBucketBits = 16;
constexpr int kObserverTries = 1000;
constinit Bucket g_buckets[1 << kBucketBits];

// Relaxed: the bucket's lock orders it; primitives look at their counter without the lock as a hint.
void drop(uint32_t* counter) {
  std::atomic_ref<uint32_t>(*counter).fetch_sub(1, std::memory_order_relaxed);
}

// Takes w off its queue and gives it a final state.
void finish_wait(Bucket* b, Waiter* w, WaitState state) {
  remove_waiter(b, w);
  if (state != WaitState::kWoken && w->counter != nullptr) drop(w->counter);
  w->state = state;
  w->g->waiter = nullptr;
}

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

bool must_look_up(G* g) {
  // Seq_cst loads: the waker's store precedes its look at wait_key, ours the other way round; the exchange of the
  // bucket's lock in between is the StoreLoad fence. They pair with note_signal and thread_cancel (signal.cc).
  return g->cancel_poke.load(std::memory_order_seq_cst) ||
         (g->sigpend.load(std::memory_order_seq_cst) & ~g->sigmask) != 0;
}

struct Commitment {
  Bucket* bucket;
  const WaitHooks* hooks;
};

// Runs on the next G's stack. Once the bucket is unlocked the waiter's stack, where `arg` points, may be in use: copy.
void commit_wait(M*, G* g, void* arg) {
  auto c = *static_cast<Commitment*>(arg);
  auto after = c.hooks->after;
  void* after_arg = c.hooks->after_arg;
  // A signal may have come after the last look: it was deferred, and its sender found no wait to end.
  bool interrupted = must_look_up(g);
  c.bucket->lock.unlock();
  if (after != nullptr) after(after_arg);
  if (MN_UNLIKELY(interrupted) && !g->wired) interrupt_wait(g);
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
        finish_wait(b, w, WaitState::kInterrupted);
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
  return &g_buckets[h >> (64 - kBucketBits)];
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

Waiter* first_waiter(Bucket* b, const void* key) {
  for (Waiter* w = b->queues; w != nullptr; w = w->next_queue)
    if (w->key == key) return w;
  return nullptr;
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

G* take_this_waiter(Bucket* b, Waiter* w) {
  G* g = w->g;
  finish_wait(b, w, WaitState::kWoken);
  return g;
}

G* take_waiter(Bucket* b, const void* key) {
  Waiter* w = first_waiter(b, key);
  return w != nullptr ? take_this_waiter(b, w) : nullptr;
}

void move_waiter(Bucket* from, Waiter* w, Bucket* to, const void* key) {
  remove_waiter(from, w);
  std::atomic_ref<const void*>(w->key).store(key, std::memory_order_relaxed);
  // interrupt_wait looks again under the lock.
  if (w->state == WaitState::kQueued) w->g->wait_key.store(key, std::memory_order_relaxed);
  append_waiter(to, w);
}

MN_FLATTEN int wait_on(const void* key, const WaitOptions& options, WaitHooks& hooks) {
  G* g = this_g();
  Waiter w;
  w.key = key;
  w.g = g;
  w.counter = options.counter;
  w.bits = options.bits;
  w.kind = options.kind;
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
  int result = 0;
  if (hooks.before != nullptr && !hooks.before(hooks.arg)) {
    result = EAGAIN;
  } else if (w.state == WaitState::kTimedOut) {
    if (w.counter != nullptr) drop(w.counter);
  } else if (must_look_up(g)) {
    w.state = WaitState::kInterrupted;
    if (w.counter != nullptr) drop(w.counter);
  } else {
    w.state = WaitState::kQueued;
    g->waiter = &w;
    append_waiter(b, &w);
    Commitment commitment{b, &hooks};
    if (MN_UNLIKELY(g->wired)) {
      sleep_wired(g, &w, options, commitment);
    } else {
      ++g->m.load(std::memory_order_relaxed)->p->parks[static_cast<int>(w.kind)];
      park(commit_wait, &commitment);
    }
    b = nullptr;
  }
  if (b != nullptr) {
    Commitment commitment{b, &hooks};
    if (result == 0)
      commit_wait(nullptr, g, &commitment);
    else
      b->lock.unlock();
  }
  g->wait_key.store(nullptr, std::memory_order_relaxed);
  if (heap != nullptr) heap->cancel(&w.timer);
  if (result != 0) return result;
  switch (w.state) {
    case WaitState::kTimedOut:
      return ETIMEDOUT;
    case WaitState::kInterrupted:
      g->cancel_poke.store(false, std::memory_order_relaxed);
      return EINTR;
    default:
      return 0;
  }
}

int wake(const void* key, int count) {
  Bucket* b = bucket_of(key);
  Fifo<G, &G::next> woken;
  b->lock.lock();
  while (static_cast<int>(woken.size()) < count) {
    G* g = take_waiter(b, key);
    if (g == nullptr) break;
    woken.push_back(g);
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

void wake_where(bool (*fits)(const void* key)) {
  for (Bucket& b : g_buckets) {
    Fifo<G, &G::next> woken;
    b.lock.lock();
    for (Waiter *queue = b.queues, *next_queue; queue != nullptr; queue = next_queue) {
      next_queue = queue->next_queue;
      if (!fits(queue->key)) continue;
      for (Waiter *w = queue, *next; w != nullptr; w = next) {
        next = w->next;
        if (w->state == WaitState::kQueued) woken.push_back(take_this_waiter(&b, w));
      }
    }
    b.lock.unlock();
    while (G* g = woken.pop_front()) ready(g, Place::kTail);
  }
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
    if (same && w != nullptr) finish_wait(b, w, WaitState::kInterrupted);
    b->lock.unlock();
    if (!same) continue;
    if (w == nullptr) return false;
    ready(g, Place::kNext);
    return true;
  }
}

G* find_waiting(bool (*fits)(const G* g, const void* arg), const void* arg) {
  for (Bucket& b : g_buckets) {
    SpinGuard guard(b.lock);
    for (Waiter* queue = b.queues; queue != nullptr; queue = queue->next_queue)
      for (Waiter* w = queue; w != nullptr; w = w->next)
        if (fits(w->g, arg)) return w->g;
  }
  return nullptr;
}

bool look_at_wait(const G* g, WaitRecord* record, void (*look)(const G* g, void* arg), void* arg) {
  const void* key = g->wait_key.load(std::memory_order_relaxed);
  if (key == nullptr) return false;
  Bucket* b = bucket_of(key);
  // Not lock(): an observer looks at a process of which a broken thread may hold it for ever.
  for (int tries = 0; !b->lock.try_lock(); ++tries) {
    if (tries == kObserverTries) return false;
    yield_cpu();
  }
  const Waiter* w = g->waiter;
  bool waits = g->wait_key.load(std::memory_order_relaxed) == key && w != nullptr && w->state == WaitState::kQueued;
  if (waits) {
    *record = {key, w->kind, w->since, w->timer.when};
    if (look != nullptr) look(g, arg);
  }
  b->lock.unlock();
  return waits;
}

void waitq_reset_after_fork() {
  for (Bucket& b : g_buckets) {
    b.lock.reset_after_fork();
    if (b.queues != nullptr) b.queues = nullptr;  // not written in vain, as the lock is not
  }
}

}  // namespace mn
