// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/cond.h"

#include <errno.h>

#include "runtime/sync/mutex.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

uint32_t* waiters(pthread_cond_t* c) {
  return reinterpret_cast<uint32_t*>(c);
}

// With the bucket locked, which makes a plain read and write enough; relaxed for those who look without the lock.
void add(uint32_t* count, int n) {
  std::atomic_ref<uint32_t> word(*count);
  word.store(word.load(std::memory_order_relaxed) + static_cast<uint32_t>(n), std::memory_order_relaxed);
}

}  // namespace

int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const Deadline& deadline) {
  enter();
  struct State {
    pthread_cond_t* cond;
    pthread_mutex_t* mutex;
    WaitHooks hooks{};
    unsigned depth = 0;
    int error = 0;
  } s{c, m};
  // The mutex is given up under the bucket's lock: a signaller that gets the mutex next finds us queued.
  s.hooks.arg = &s;
  s.hooks.before = [](void* arg) {
    auto* st = static_cast<State*>(arg);
    bool wake_mutex = false;
    // Counted before the mutex is released, which orders it before a signaller's look.
    add(waiters(st->cond), 1);
    st->error = mutex_release_for_wait(st->mutex, &st->depth, &wake_mutex);
    if (st->error != 0) {
      add(waiters(st->cond), -1);
      return false;
    }
    if (wake_mutex) {
      st->hooks.after = [](void* mutex) { mutex_wake_one(static_cast<pthread_mutex_t*>(mutex)); };
      st->hooks.after_arg = st->mutex;
    }
    return true;
  };
  int result = wait_on(c, {deadline, waiters(c), WaitKind::kCond}, s.hooks);
  leave();
  if (s.error != 0) return s.error;
  if (int error = mutex_reacquire(m, s.depth)) return error;
  if (result == ETIMEDOUT && !deadline.passed()) return 0;
  return result;
}

void cond_signal(pthread_cond_t* c) {
  if (std::atomic_ref<uint32_t>(*waiters(c)).load(std::memory_order_relaxed) == 0) return;
  enter();
  Bucket* b = bucket_of(c);
  b->lock.lock();
  G* g = take_waiter(b, c);
  if (g != nullptr) add(waiters(c), -1);
  b->lock.unlock();
  if (g != nullptr) ready(g);
  leave();
}

void cond_broadcast(pthread_cond_t* c) {
  if (std::atomic_ref<uint32_t>(*waiters(c)).load(std::memory_order_relaxed) == 0) return;
  enter();
  Bucket* b = bucket_of(c);
  Fifo<G, &G::next> woken;
  b->lock.lock();
  while (G* g = take_waiter(b, c)) woken.push_back(g);
  std::atomic_ref<uint32_t>(*waiters(c)).store(0, std::memory_order_relaxed);
  b->lock.unlock();
  if (woken.size() == 1) {
    ready(woken.pop_front());
  } else {
    while (G* g = woken.pop_front()) ready(g, Place::kTail);
  }
  leave();
}

}  // namespace mn
