// SPDX-License-Identifier: Apache-2.0
// The run queue of a P: a ring with one producer (the P's M) and many consumers, and `runnext`, the G that was made
// ready last. As in Go's runtime/proc.go.
//
//  ring[head, tail)  runnable Gs, oldest at head. Only the owner stores to `tail` and to slots; owner and thieves
//                    advance `head` by compare-exchange, which is what gives a slot's G to exactly one of them.
//  runnext           set by the owner (exchange), taken by the owner or, when the owner looks busy, by a thief
//                    (compare-exchange). It makes a ping-pong pair run without a walk through the ring.
//
// A thief copies half of the Gs into its own ring before it advances head: the copies count only when the advance
// succeeds, and cannot be overwritten before that, because the owner never fills a ring beyond N unread slots and the
// advance fails when head moved.
//
// alone(): with one P there are no thieves, and whoever holds the P has the queue to itself (the P's hand-over orders
// them): the owner's operations are then plain loads and stores.
//
// The exchange on runnext and the seq_cst fence after a push to the ring (sched.cc, ready) are the StoreLoad barrier
// that the submit / stop-spinning protocol needs (idle.cc).
#pragma once

#include <atomic>
#include <cstdint>

namespace mn {

template <class T, uint32_t N>
class RunQueue {
  static_assert((N & (N - 1)) == 0, "indices wrap by masking");

 public:
  // Before any other use.
  void set_alone(bool alone) { alone_ = alone; }

  // Owner. False: the ring is full.
  bool push(T* g) {
    uint32_t t = tail_.load(std::memory_order_relaxed);
    // Acquire: pairs with the release of a consumer's advance, so that its reads of slots are over.
    uint32_t h = head_.load(std::memory_order_acquire);
    if (t - h >= N) return false;
    ring_[t & (N - 1)].store(g, std::memory_order_relaxed);
    // Release: pairs with the acquire of tail in grab(); the slot is visible before the index.
    tail_.store(t + 1, std::memory_order_release);
    return true;
  }

  // Owner. Puts g in runnext; returns the G that stood there, for the caller to queue, or null.
  T* push_next(T* g) {
    if (alone_) {
      T* old = runnext_.load(std::memory_order_relaxed);
      runnext_.store(g, std::memory_order_relaxed);
      return old;
    }
    // Seq_cst: the StoreLoad barrier between making g visible and looking for idle Ps (pairs with idle.cc's recheck).
    return runnext_.exchange(g, std::memory_order_seq_cst);
  }

  // Owner.
  T* pop_next() {
    T* g = runnext_.load(std::memory_order_relaxed);
    if (alone_) {
      runnext_.store(nullptr, std::memory_order_relaxed);
      return g;
    }
    // Acquire: pairs with push_next; a thief may win.
    while (g != nullptr && !runnext_.compare_exchange_weak(g, nullptr, std::memory_order_acquire)) {
    }
    return g;
  }

  // Owner.
  T* pop() {
    for (;;) {
      // Acquire: pairs with the release of thieves' advances.
      uint32_t h = head_.load(std::memory_order_acquire);
      if (h == tail_.load(std::memory_order_relaxed)) return nullptr;
      T* g = ring_[h & (N - 1)].load(std::memory_order_relaxed);
      if (alone_) {
        head_.store(h + 1, std::memory_order_relaxed);
        return g;
      }
      // Release: the slot has been read before a producer may reuse it (pairs with push).
      if (head_.compare_exchange_weak(h, h + 1, std::memory_order_release)) return g;
    }
  }

  // Owner. The one that is `ahead` places behind the oldest, which thieves may take at any time; null: none.
  T* peek(uint32_t ahead) const {
    uint32_t h = head_.load(std::memory_order_relaxed) + ahead;
    uint32_t left = tail_.load(std::memory_order_relaxed) - h;
    return left - 1 < N ? ring_[h & (N - 1)].load(std::memory_order_relaxed) : nullptr;
  }

  // Owner, when the ring is full: takes its older half into `out` (N/2 entries). 0 when a thief was faster.
  uint32_t pop_half(T** out) {
    uint32_t h = head_.load(std::memory_order_acquire);  // Acquire: pairs with thieves' advances.
    uint32_t n = (tail_.load(std::memory_order_relaxed) - h) / 2;
    if (n != N / 2) return 0;
    for (uint32_t i = 0; i < n; ++i) out[i] = ring_[(h + i) & (N - 1)].load(std::memory_order_relaxed);
    return head_.compare_exchange_strong(h, h + n, std::memory_order_release) ? n : 0;  // Release: as in pop.
  }

  // Thief, for its own (empty) queue: takes the older half of `victim`'s ring, rounded up. Returns one G to run at
  // once.
  T* steal_from(RunQueue& victim) {
    uint32_t t = tail_.load(std::memory_order_relaxed);
    uint32_t n = victim.grab(ring_, t);
    if (n == 0) return nullptr;
    --n;
    T* g = ring_[(t + n) & (N - 1)].load(std::memory_order_relaxed);
    // Release: publishes the stolen slots (pairs with the acquire of tail in grab by other thieves).
    if (n != 0) tail_.store(t + n, std::memory_order_release);
    return g;
  }

  // Thief.
  T* steal_next() { return pop_next(); }

  bool empty() const {
    for (;;) {
      // Acquire, all: a consistent picture is one in which tail did not move while runnext was read (a G kicked from
      // runnext to the ring must not be missed).
      uint32_t h = head_.load(std::memory_order_acquire);  // pairs with consumers' advances
      uint32_t t = tail_.load(std::memory_order_acquire);  // pairs with push
      T* next = runnext_.load(std::memory_order_acquire);  // pairs with push_next
      if (t == tail_.load(std::memory_order_acquire)) return h == t && next == nullptr;
    }
  }
  T* peek_next() const { return runnext_.load(std::memory_order_relaxed); }
  bool has_next() const { return runnext_.load(std::memory_order_relaxed) != nullptr; }
  bool ring_empty() const { return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_relaxed); }
  uint32_t ring_size() const { return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed); }
  uint32_t size() const { return ring_size() + (has_next() ? 1 : 0); }
  void reset_after_fork() {
    head_.store(0, std::memory_order_relaxed);
    tail_.store(0, std::memory_order_relaxed);
    runnext_.store(nullptr, std::memory_order_relaxed);
  }

 private:
  friend struct Offsets;  // observe/layout.cc

  uint32_t grab(std::atomic<T*>* into, uint32_t at) {
    for (;;) {
      uint32_t h = head_.load(std::memory_order_acquire);  // Acquire: pairs with other consumers' advances.
      uint32_t t = tail_.load(std::memory_order_acquire);  // Acquire: pairs with push; slots below it are written.
      uint32_t n = t - h;
      n -= n / 2;
      if (n == 0) return 0;
      if (n > N / 2) continue;  // h and t were read at different times
      for (uint32_t i = 0; i < n; ++i)
        into[(at + i) & (N - 1)].store(ring_[(h + i) & (N - 1)].load(std::memory_order_relaxed),
                                       std::memory_order_relaxed);
      if (head_.compare_exchange_weak(h, h + n, std::memory_order_release)) return n;  // Release: as in pop.
    }
  }

  bool alone_ = false;
  std::atomic<uint32_t> head_{0};
  std::atomic<uint32_t> tail_{0};
  std::atomic<T*> runnext_{nullptr};
  std::atomic<T*> ring_[N] = {};
};

}  // namespace mn
