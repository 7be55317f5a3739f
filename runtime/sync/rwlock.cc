// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/rwlock.h"

#include <errno.h>

#include "runtime/os/tcb.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr uint32_t kWriter = 1u << 31, kWaiters = 1u << 30, kReaders = kWaiters - 1;

uint32_t* words(pthread_rwlock_t* l) { return reinterpret_cast<uint32_t*>(l); }
std::atomic_ref<uint32_t> state(pthread_rwlock_t* l) { return std::atomic_ref<uint32_t>(words(l)[0]); }
const void* reader_key(pthread_rwlock_t* l) { return &words(l)[0]; }
const void* writer_key(pthread_rwlock_t* l) { return &words(l)[1]; }
uint32_t& queued_writers(pthread_rwlock_t* l) { return words(l)[1]; }

bool prefers_writers(const pthread_rwlock_t* l) {
  return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
}
int self_tid() { return tcb_tid(thread_pointer()); }
bool write_locked_by_me(pthread_rwlock_t* l) {
  return (state(l).load(std::memory_order_relaxed) & kWriter) != 0 && l->__data.__cur_writer == self_tid();
}

bool reader_may_enter(pthread_rwlock_t* l, uint32_t s) {
  return (s & kWriter) == 0 && ((s & kWaiters) == 0 || !prefers_writers(l) || queued_writers(l) == 0);
}

// With the bucket locked: clears kWaiters when the last waiter left by timeout.
void settle(pthread_rwlock_t* l, Bucket* b) {
  if (first_waiter(b, reader_key(l)) == nullptr && first_waiter(b, writer_key(l)) == nullptr)
    state(l).fetch_and(~kWaiters, std::memory_order_relaxed);  // under the bucket's lock
}

// With the bucket locked and the lock free, or held by readers only: lets in who may, oldest first.
void admit(pthread_rwlock_t* l, Bucket* b, Fifo<G, &G::next>* woken) {
  bool writers = first_waiter(b, writer_key(l)) != nullptr;
  bool readers = first_waiter(b, reader_key(l)) != nullptr;
  uint32_t s = state(l).load(std::memory_order_relaxed);
  if (readers && !(writers && prefers_writers(l))) {
    while (G* g = take_waiter(b, reader_key(l))) {
      state(l).fetch_add(1, std::memory_order_relaxed);  // under the bucket's lock, on behalf of the woken
      woken->push_back(g);
    }
  } else if (writers && (s & kReaders) == 0) {
    G* g = take_waiter(b, writer_key(l));
    --queued_writers(l);
    state(l).fetch_or(kWriter, std::memory_order_relaxed);  // as above
    woken->push_back(g);
  }
  settle(l, b);
}

void ready_all(Fifo<G, &G::next>* woken) {
  if (woken->size() == 1) return ready(woken->pop_front());
  while (G* g = woken->pop_front()) ready(g, Place::kTail);
}

// After a timeout: the one who left may have been what kept others out.
void left_queue(pthread_rwlock_t* l) {
  Fifo<G, &G::next> woken;
  enter();
  Bucket* b = bucket_of(l);
  b->lock.lock();
  if ((state(l).load(std::memory_order_relaxed) & kWriter) == 0)
    admit(l, b, &woken);
  else
    settle(l, b);
  b->lock.unlock();
  ready_all(&woken);
  leave();
}

}  // namespace

int rwlock_tryrdlock(pthread_rwlock_t* l) {
  uint32_t s = state(l).load(std::memory_order_relaxed);
  while (reader_may_enter(l, s)) {
    if ((s & kReaders) == kReaders) return EAGAIN;
    // Acquire: pairs with the release of the last holder.
    if (state(l).compare_exchange_weak(s, s + 1, std::memory_order_acquire)) return 0;
  }
  return EBUSY;
}

int rwlock_rdlock(pthread_rwlock_t* l, const Deadline& deadline) {
  for (;;) {
    int error = rwlock_tryrdlock(l);
    if (error != EBUSY) return error;
    if (write_locked_by_me(l)) return EDEADLK;
    enter();
    error = wait_if(reader_key(l), {deadline, nullptr}, [&] {
      uint32_t s = state(l).load(std::memory_order_relaxed);
      for (;;) {
        if (reader_may_enter(l, s)) return false;
        if (state(l).compare_exchange_weak(s, s | kWaiters, std::memory_order_relaxed)) return true;
      }
    });
    leave();
    // Acquire: pairs with the release of whoever handed the lock over.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (error == 0) return 0;
    if (error == ETIMEDOUT || error == EINTR) left_queue(l);
    if (error == ETIMEDOUT && deadline.passed()) return ETIMEDOUT;
  }
}

int rwlock_trywrlock(pthread_rwlock_t* l) {
  uint32_t s = state(l).load(std::memory_order_relaxed);
  while ((s & (kWriter | kReaders)) == 0) {
    // Acquire: pairs with the release of the last holder.
    if (!state(l).compare_exchange_weak(s, s | kWriter, std::memory_order_acquire)) continue;
    l->__data.__cur_writer = self_tid();
    return 0;
  }
  return EBUSY;
}

int rwlock_wrlock(pthread_rwlock_t* l, const Deadline& deadline) {
  for (;;) {
    if (rwlock_trywrlock(l) == 0) return 0;
    if (write_locked_by_me(l)) return EDEADLK;
    enter();
    int error = wait_if(writer_key(l), {deadline, &queued_writers(l)}, [&] {
      uint32_t s = state(l).load(std::memory_order_relaxed);
      for (;;) {
        if ((s & (kWriter | kReaders)) == 0) return false;
        if (state(l).compare_exchange_weak(s, s | kWaiters, std::memory_order_relaxed)) break;
      }
      ++queued_writers(l);
      return true;
    });
    leave();
    // Acquire: pairs with the release of whoever handed the lock over.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (error == 0) {
      l->__data.__cur_writer = self_tid();
      return 0;
    }
    if (error == ETIMEDOUT || error == EINTR) left_queue(l);
    if (error == ETIMEDOUT && deadline.passed()) return ETIMEDOUT;
  }
}

int rwlock_unlock(pthread_rwlock_t* l) {
  uint32_t s = state(l).load(std::memory_order_relaxed);
  bool writing = (s & kWriter) != 0;
  if (writing) l->__data.__cur_writer = 0;
  for (;;) {
    uint32_t next = writing ? s & ~kWriter : s - 1;
    bool freed = (next & kReaders) == 0;
    if ((s & kWaiters) != 0 && freed) break;
    // Release: pairs with the acquire of the next holder.
    if (state(l).compare_exchange_weak(s, next, std::memory_order_release)) return 0;
  }
  Fifo<G, &G::next> woken;
  enter();
  Bucket* b = bucket_of(l);
  b->lock.lock();
  // Acq_rel: releases to later holders; acquires what other readers did before the hand-over.
  if (writing)
    state(l).fetch_and(~kWriter, std::memory_order_acq_rel);
  else
    s = state(l).fetch_sub(1, std::memory_order_acq_rel) - 1;
  if (writing || (s & kReaders) == 0) admit(l, b, &woken);
  b->lock.unlock();
  ready_all(&woken);
  leave();
  return 0;
}

}  // namespace mn
