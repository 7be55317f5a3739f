// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/sem.h"

#include <errno.h>

#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr uint64_t kOneWaiter = uint64_t{1} << 32;
constexpr uint32_t kValueMax = 0x7fffffff;  // SEM_VALUE_MAX

std::atomic_ref<uint64_t> word(sem_t* s) {
  return std::atomic_ref<uint64_t>(reinterpret_cast<SemLayout*>(s)->word);
}
uint32_t value_of(uint64_t w) {
  return static_cast<uint32_t>(w);
}
uint32_t waiters_of(uint64_t w) {
  return static_cast<uint32_t>(w >> 32);
}
// The upper half, for the wait queue's bookkeeping (little-endian).
uint32_t* waiter_count(sem_t* s) {
  return reinterpret_cast<uint32_t*>(s) + 1;
}

}  // namespace

MN_PREEMPTIBLE int sem_try(sem_t* s) {
  uint64_t w = word(s).load(std::memory_order_relaxed);
  while (value_of(w) != 0)
    // Acquire: pairs with the release in sem_give.
    if (word(s).compare_exchange_weak(w, w - 1, std::memory_order_acquire)) return 0;
  return EAGAIN;
}

MN_PREEMPTIBLE int sem_take(sem_t* s, const Deadline& deadline) {
  if (sem_try(s) == 0) return 0;
  for (;;) {
    enter();
    int result = wait_if(s, {deadline, waiter_count(s), WaitKind::kSem}, [&] {
      uint64_t w = word(s).load(std::memory_order_relaxed);
      for (;;) {
        bool available = value_of(w) != 0;
        // Acquire: pairs with the release in sem_give.
        if (word(s).compare_exchange_weak(w, available ? w - 1 : w + kOneWaiter, std::memory_order_acquire))
          return !available;
      }
    });
    leave();
    if (result == EAGAIN) return 0;  // taken under the lock
    if (result != ETIMEDOUT || deadline.passed()) return result;
  }
}

MN_PREEMPTIBLE int sem_give(sem_t* s) {
  uint64_t w = word(s).load(std::memory_order_relaxed);
  while (waiters_of(w) == 0) {
    if (value_of(w) >= kValueMax) return EOVERFLOW;
    // Release: pairs with the acquire of the taker.
    if (word(s).compare_exchange_weak(w, w + 1, std::memory_order_release)) return 0;
  }
  enter();
  Bucket* b = bucket_of(s);
  b->lock.lock();
  int error = 0;
  G* g = take_waiter(b, s);
  if (g != nullptr) {
    word(s).fetch_sub(kOneWaiter, std::memory_order_relaxed);  // the bucket's lock orders it
  } else {
    w = word(s).load(std::memory_order_relaxed);
    do {
      if (value_of(w) >= kValueMax) error = EOVERFLOW;
    } while (error == 0 && !word(s).compare_exchange_weak(w, w + 1, std::memory_order_release));  // Release: as above.
  }
  b->lock.unlock();
  if (g != nullptr) ready(g);
  leave();
  return error;
}

}  // namespace mn
