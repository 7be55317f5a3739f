// SPDX-License-Identifier: Apache-2.0
// What looks at the waits of all threads, or at another's: observers, signals for the process, fork.
#include "runtime/sync/away.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr int kObserverTries = 1000;

}  // namespace

void wake_where(bool (*fits)(const void* key)) {
  for (Bucket& b : wait_buckets) {
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
  for (Bucket& b : wait_buckets) {
    SpinGuard guard(b.lock);
    for (Waiter* queue = b.queues; queue != nullptr; queue = queue->next_queue)
      for (Waiter* w = queue; w != nullptr; w = w->next)
        if (w->state != WaitState::kAway && fits(w->g, arg)) return w->g;
  }
  return nullptr;
}

void waitq_reset_after_fork() {
  for (Bucket& b : wait_buckets) {
    b.lock.reset_after_fork();
    if (b.queues != nullptr) b.queues = nullptr;  // a clean page is not written, as the lock is not
  }
  // The caller may be in a handler that interrupted waits of its own.
  aways_reset_after_fork();
  for (Away* away = this_g()->away; away != nullptr; away = away->outer)
    if (away->state == WaitState::kAway) append_waiter(bucket_of(away->key), away);
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

}  // namespace mn
