// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/rwlock.h"

#include <errno.h>

#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr uint32_t kWriter = 1u << 31, kWaiters = 1u << 30, kReaders = kWaiters - 1;

uint32_t* words(pthread_rwlock_t* l) {
  return reinterpret_cast<uint32_t*>(l);
}
std::atomic_ref<uint32_t> state(pthread_rwlock_t* l) {
  return std::atomic_ref<uint32_t>(words(l)[0]);
}
const void* reader_key(pthread_rwlock_t* l) {
  return &words(l)[0];
}
const void* writer_key(pthread_rwlock_t* l) {
  return &words(l)[1];
}
uint32_t& queued_writers(pthread_rwlock_t* l) {
  return words(l)[1];
}

bool prefers_writers(const pthread_rwlock_t* l) {
  return l->__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
}
// Not the TCB's, which changes when a thread is wired.
int self_tid() {
  G* g = this_g();
  return static_cast<int>(MN_LIKELY(g != nullptr) ? g->tid : adopt_thread()->tid);
}
bool write_locked_by_me(pthread_rwlock_t* l) {
  return (state(l).load(std::memory_order_relaxed) & kWriter) != 0 && l->__data.__cur_writer == self_tid();
}

bool reader_may_enter(pthread_rwlock_t* l, uint32_t s) {
  return (s & kWriter) == 0 && ((s & kWaiters) == 0 || !prefers_writers(l) || queued_writers(l) == 0);
}

uint32_t queue_length(Bucket* b, const void* key) {
  uint32_t n = 0;
  for (Waiter* w = first_waiter(b, key); w != nullptr; w = w->next) n += w->state == WaitState::kQueued ? 1 : 0;
  return n;
}

// With the bucket locked: takes `held` (kWriter, 1 or 0) off the state and lets in waiters that may enter, oldest
// first. One compare-exchange does both: between the two a thread on the fast path could take a lock that has just been
// given away.
void release(pthread_rwlock_t* l, Bucket* b, uint32_t held, Fifo<G, &G::next>* woken) {
  uint32_t readers = queue_length(b, reader_key(l)), writers = queued_writers(l);
  uint32_t s = state(l).load(std::memory_order_relaxed);
  for (;;) {
    uint32_t next = s - held;
    bool let_readers = (next & kWriter) == 0 && readers != 0 && (writers == 0 || !prefers_writers(l));
    bool let_writer = !let_readers && writers != 0 && (next & (kWriter | kReaders)) == 0;
    if (let_readers) next += readers;
    if (let_writer) next |= kWriter;
    if ((let_readers ? 0 : readers) + writers - (let_writer ? 1 : 0) == 0) next &= ~kWaiters;
    // Acq_rel: releases to later holders (pairs with their acquires); acquires what other readers did before the
    // hand-over (pairs with their releases).
    if (!state(l).compare_exchange_weak(s, next, std::memory_order_acq_rel, std::memory_order_relaxed)) continue;
    if (let_readers)
      while (G* g = take_waiter(b, reader_key(l))) woken->push_back(g);
    if (let_writer) {
      woken->push_back(take_waiter(b, writer_key(l)));
      --queued_writers(l);
    }
    return;
  }
}

void ready_all(Fifo<G, &G::next>* woken) {
  if (woken->size() == 1) return ready(woken->pop_front());
  while (G* g = woken->pop_front()) ready(g, Place::kTail);
}

// Inside, after a wait. Who left the queue without the lock may have been what kept others out; before leave() runs a
// handler, which may take long.
void end_wait(pthread_rwlock_t* l, int error) {
  if (MN_LIKELY(error != ETIMEDOUT && error != EINTR)) return;
  Fifo<G, &G::next> woken;
  Bucket* b = bucket_of(l);
  b->lock.lock();
  release(l, b, 0, &woken);
  b->lock.unlock();
  ready_all(&woken);
}

}  // namespace

MN_PREEMPTIBLE int rwlock_tryrdlock(pthread_rwlock_t* l) {
  uint32_t s = state(l).load(std::memory_order_relaxed);
  while (reader_may_enter(l, s)) {
    if ((s & kReaders) == kReaders) return EAGAIN;
    // Acquire: pairs with the release of the last holder.
    if (state(l).compare_exchange_weak(s, s + 1, std::memory_order_acquire)) return 0;
  }
  return EBUSY;
}

MN_PREEMPTIBLE int rwlock_rdlock(pthread_rwlock_t* l, const Deadline& deadline) {
  for (;;) {
    int error = rwlock_tryrdlock(l);
    if (error != EBUSY) return error;
    if (write_locked_by_me(l)) return EDEADLK;
    enter();
    error = wait_if(reader_key(l), {deadline, nullptr, WaitKind::kRead}, [&] {
      uint32_t s = state(l).load(std::memory_order_relaxed);
      for (;;) {
        if (reader_may_enter(l, s)) return false;
        if (state(l).compare_exchange_weak(s, s | kWaiters, std::memory_order_relaxed)) return true;
      }
    });
    end_wait(l, error);
    leave();
    // Acquire: pairs with the release of whoever handed the lock over.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (error == 0) return 0;
    if (error == ETIMEDOUT && deadline.passed()) return ETIMEDOUT;
  }
}

MN_PREEMPTIBLE int rwlock_trywrlock(pthread_rwlock_t* l) {
  uint32_t s = state(l).load(std::memory_order_relaxed);
  while ((s & (kWriter | kReaders)) == 0) {
    // Acquire: pairs with the release of the last holder.
    if (!state(l).compare_exchange_weak(s, s | kWriter, std::memory_order_acquire)) continue;
    l->__data.__cur_writer = self_tid();
    return 0;
  }
  return EBUSY;
}

MN_PREEMPTIBLE int rwlock_wrlock(pthread_rwlock_t* l, const Deadline& deadline) {
  for (;;) {
    if (rwlock_trywrlock(l) == 0) return 0;
    if (write_locked_by_me(l)) return EDEADLK;
    enter();
    int error = wait_if(writer_key(l), {deadline, &queued_writers(l), WaitKind::kWrite}, [&] {
      uint32_t s = state(l).load(std::memory_order_relaxed);
      for (;;) {
        if ((s & (kWriter | kReaders)) == 0) return false;
        if (state(l).compare_exchange_weak(s, s | kWaiters, std::memory_order_relaxed)) break;
      }
      ++queued_writers(l);
      return true;
    });
    end_wait(l, error);
    leave();
    // Acquire: pairs with the release of whoever handed the lock over.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (error == 0) {
      l->__data.__cur_writer = self_tid();
      return 0;
    }
    if (error == ETIMEDOUT && deadline.passed()) return ETIMEDOUT;
  }
}

MN_PREEMPTIBLE int rwlock_unlock(pthread_rwlock_t* l) {
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
  release(l, b, writing ? kWriter : 1, &woken);
  b->lock.unlock();
  ready_all(&woken);
  leave();
  return 0;
}

}  // namespace mn
