// SPDX-License-Identifier: Apache-2.0
// The queues themselves, with their buckets locked (waitq.h).
#include "runtime/sync/away.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr int kBucketBits = 16;
constinit Bucket g_buckets[1 << kBucketBits];

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

Waiter* first_parked(Bucket* b, const void* key) {
  Waiter* w = first_waiter(b, key);
  while (w != nullptr && MN_UNLIKELY(w->state == WaitState::kAway)) w = w->next;
  return w;
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

G* take_waiter(Bucket* b, const void* key) {
  Waiter* w = first_parked(b, key);
  return w != nullptr ? take_this_waiter(b, w) : nullptr;
}

bool take_member(Bucket* b, const void* key, Fifo<G, &G::next>* woken) {
  if (Waiter* w = first_parked(b, key); MN_LIKELY(w != nullptr)) {
    woken->push_back(take_this_waiter(b, w));
    return true;
  }
  Waiter* away = first_waiter(b, key);
  if (away == nullptr) return false;
  remove_waiter(b, away);
  away->state = WaitState::kWoken;
  return true;
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

G* find_waiting(bool (*fits)(const G* g, const void* arg), const void* arg) {
  for (Bucket& b : g_buckets) {
    SpinGuard guard(b.lock);
    for (Waiter* queue = b.queues; queue != nullptr; queue = queue->next_queue)
      for (Waiter* w = queue; w != nullptr; w = w->next)
        if (w->state != WaitState::kAway && fits(w->g, arg)) return w->g;
  }
  return nullptr;
}

void waitq_reset_after_fork() {
  for (Bucket& b : g_buckets) {
    b.lock.reset_after_fork();
    if (b.queues != nullptr) b.queues = nullptr;  // not written in vain, as the lock is not
  }
  // The caller may be in a handler that interrupted waits of its own.
  aways_reset_after_fork();
  for (Away* away = this_g()->away; away != nullptr; away = away->outer)
    if (away->state == WaitState::kAway) append_waiter(bucket_of(away->key), away);
}

}  // namespace mn
