// SPDX-License-Identifier: Apache-2.0
// The runtime's own locks. A SpinLock guards a few instructions and is only ever held by a thread that is inside libmn
// (see sched/enter.h), so that its holder runs no program code, takes no signal handler and cannot be switched out;
// only the kernel can preempt it, which is why waiters offer their CPU after a short spin. A Note is a one-shot event
// on which a kernel thread sleeps.
#pragma once

#include <atomic>

#include "runtime/base/check.h"
#include "runtime/os/confined.h"
#include "runtime/os/futex.h"

namespace mn {

inline void cpu_relax() {
  __builtin_ia32_pause();
}

class SpinLock {
 public:
  void lock() {
    // Acquire: pairs with the release in unlock() of the previous holder.
    if (MN_UNLIKELY(held_.exchange(1, std::memory_order_acquire) != 0)) lock_slow();
  }
  bool try_lock() {
    // Acquire: pairs with unlock().
    return held_.load(std::memory_order_relaxed) == 0 && held_.exchange(1, std::memory_order_acquire) == 0;
  }
  void unlock() {
    // Release: pairs with the acquire in lock() of the next holder.
    held_.store(0, std::memory_order_release);
  }
  // For a caller that only waits until the holder is done.
  bool held() const { return held_.load(std::memory_order_acquire) != 0; }  // Acquire: pairs with unlock().
  // The child of a fork has no other thread: whoever held it is gone, and true; what it guards may not be whole. What
  // is as it should be is not written, for its page is shared with the parent.
  bool reset_after_fork() {
    if (held_.load(std::memory_order_relaxed) == 0) return false;
    held_.store(0, std::memory_order_relaxed);
    return true;
  }

 private:
  MN_NOINLINE void lock_slow() {
    for (unsigned spins = 1;; ++spins) {
      for (int i = 0; i < 64 && held_.load(std::memory_order_relaxed) != 0; ++i) cpu_relax();
      // Acquire: pairs with unlock().
      if (held_.exchange(1, std::memory_order_acquire) == 0) return;
      if (spins % 4 == 0) yield_cpu();
    }
  }

  std::atomic<uint8_t> held_{0};
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

// 0: not signalled, nobody sleeps; 1: signalled; 2: a thread sleeps or is about to.
class Note {
 public:
  void clear() { word_.store(0, std::memory_order_relaxed); }

  void signal() {
    // Release: pairs with the acquires in sleep(), whose thread sees what the signaller wrote.
    if (word_.exchange(1, std::memory_order_release) == 2) futex_wake(&word_);
  }

  // Returns true when signalled, false when `deadline_ns` (CLOCK_MONOTONIC; negative: none) passed, or when
  // `interruptible` and a signal came.
  bool sleep(int64_t deadline_ns = -1, bool interruptible = false) {
    for (;;) {
      uint32_t expected = 0;
      // Acquire: pairs with the release in signal().
      if (!word_.compare_exchange_strong(expected, 2, std::memory_order_acquire) && expected == 1) return true;
      int error = futex_wait(&word_, 2, deadline_ns);
      // Acquire: pairs with the release in signal().
      if (word_.load(std::memory_order_acquire) == 1) return true;
      if (error == ETIMEDOUT || (error == EINTR && interruptible)) {
        expected = 2;
        // Acquire: pairs with signal(), which may just have come.
        return !word_.compare_exchange_strong(expected, 0, std::memory_order_acquire);
      }
    }
  }

  bool signalled() const { return word_.load(std::memory_order_acquire) == 1; }  // Acquire: pairs with signal().

 private:
  std::atomic<uint32_t> word_{0};
};

}  // namespace mn
