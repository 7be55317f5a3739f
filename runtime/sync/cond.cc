// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/cond.h"

#include <errno.h>

#include "runtime/sync/guard.h"
#include "runtime/sync/member.h"
#include "runtime/sync/mutex.h"

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

namespace {

struct Waiting {
  pthread_cond_t* cond;
  pthread_mutex_t* mutex;
  WaitHooks hooks{};
  unsigned depth = 0;
  int error = 0;

  // The mutex is given up under the bucket's lock: a signaller that gets the mutex next finds us queued.
  bool give_up_mutex() {
    bool wake_mutex = false;
    // Counted before the mutex is released, which orders it before a signaller's look.
    add(waiters(cond), 1);
    error = mutex_release_for_wait(mutex, &depth, &wake_mutex);
    if (error != 0) {
      add(waiters(cond), -1);
      return false;
    }
    if (wake_mutex) {
      hooks.after = [](void* m) { mutex_wake_one(static_cast<pthread_mutex_t*>(m)); };
      hooks.after_arg = mutex;
    }
    return true;
  }
};

}  // namespace

int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const Deadline& deadline) {
  Waiting w{c, m};
  w.hooks.arg = &w;
  w.hooks.before = [](void* arg) { return static_cast<Waiting*>(arg)->give_up_mutex(); };
  // The clean-up handlers of a thread that is unwound out of a signal handler find the mutex held, as those of a thread
  // that is cancelled in the wait itself.
  auto undo = [](void* arg) {
    auto* waiting = static_cast<Waiting*>(arg);
    if (!left_by_jump()) mutex_reacquire(waiting->mutex, waiting->depth);
  };
  WaitOptions how{
      .deadline = deadline, .counter = waiters(c), .kind = WaitKind::kCond, .stays = Stays::kUntilCancelled};
  enter();
  int result = wait_as_member(c, how, w.hooks, {undo, &w});
  if (MN_UNLIKELY(w.error != 0)) {
    leave();
    return w.error;
  }
  leave_guarded(undo, &w);
  if (int error = mutex_reacquire(m, w.depth)) return error;
  if (result == ETIMEDOUT && !deadline.passed()) return 0;
  return result;
}

void cond_signal(pthread_cond_t* c) {
  if (std::atomic_ref<uint32_t>(*waiters(c)).load(std::memory_order_relaxed) == 0) return;
  enter();
  Bucket* b = bucket_of(c);
  b->lock.lock();
  G* g;
  if (take_member(b, c, &g)) add(waiters(c), -1);
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
  for (G* g; take_member(b, c, &g);)
    if (g != nullptr) woken.push_back(g);
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
