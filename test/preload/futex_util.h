// SPDX-License-Identifier: Apache-2.0
// Raw futexes for tests: the calls, and threads that wait in one.
#ifndef TEST_PRELOAD_FUTEX_UTIL_H_
#define TEST_PRELOAD_FUTEX_UTIL_H_

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <deque>
#include <vector>

#include "util.h"

namespace test {

inline constexpr uint32_t kPrivate = FUTEX_PRIVATE_FLAG;

// The kernel's answer: errors as -errno.
inline long Answer(long result) {
  return result == -1 ? -errno : result;
}

inline long Futex(const void* word, uint32_t op, uint32_t value, const void* fourth = nullptr,
                  const void* word2 = nullptr, uint32_t value3 = 0) {
  return Answer(syscall(SYS_futex, word, op, value, fourth, word2, value3));
}
inline const void* Count(int n) {
  return reinterpret_cast<const void*>(static_cast<intptr_t>(n));
}

inline long Wait(const void* word, uint32_t value, const timespec* timeout = nullptr) {
  return Futex(word, FUTEX_WAIT | kPrivate, value, timeout);
}
inline long WaitBits(const void* word, uint32_t value, uint32_t bits, const timespec* deadline = nullptr,
                     uint32_t clock = 0) {
  return Futex(word, FUTEX_WAIT_BITSET | kPrivate | clock, value, deadline, nullptr, bits);
}
inline long Wake(const void* word, int count = 1) {
  return Futex(word, FUTEX_WAKE | kPrivate, static_cast<uint32_t>(count));
}
inline long WakeBits(const void* word, int count, uint32_t bits) {
  return Futex(word, FUTEX_WAKE_BITSET | kPrivate, static_cast<uint32_t>(count), nullptr, nullptr, bits);
}
inline long Requeue(const void* word, int wakes, int moves, const void* to, uint32_t flag = kPrivate) {
  return Futex(word, FUTEX_REQUEUE | flag, static_cast<uint32_t>(wakes), Count(moves), to);
}

// How many wait on the word: as many as move to where they are.
inline long Waiting(const void* word, uint32_t flag = kPrivate) {
  return Requeue(word, 0, INT_MAX, word, flag);
}
inline bool AwaitWaiting(const void* word, long n, uint32_t flag = kPrivate) {
  return Eventually([=] { return Waiting(word, flag) == n; });
}

// System calls that no library sees.
inline long InlineSyscall(long number, const void* a, long b, long c, long d = 0, long e = 0, long f = 0) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
inline long InlineFutex(const void* word, uint32_t op, uint32_t value) {
  return InlineSyscall(SYS_futex, word, op, value);
}

// Threads that make one call each; each arrived on the word before the next began.
class Waiters {
 public:
  explicit Waiters(const void* word, uint32_t flag = kPrivate) : word_(word), flag_(flag) {}

  template <typename Call>
  void Add(Call call) {
    const long before = Waiting(word_, flag_);
    auto* answer = &answers_.emplace_back(kNone);
    threads_.emplace_back([call, answer] {
      *answer = call();
      return nullptr;
    });
    EXPECT_TRUE(AwaitWaiting(word_, before + 1, flag_));
  }
  void AddPlain(int n) {
    for (int i = 0; i < n; ++i) Add([word = word_] { return Wait(word, 0); });
  }

  bool Done(size_t i) const { return answers_[i] != kNone; }
  long AnswerOf(size_t i) {
    EXPECT_TRUE(Eventually([&] { return Done(i); }));
    return answers_[i];
  }
  long HowManyDone() const {
    long n = 0;
    for (const auto& answer : answers_) n += answer != kNone;
    return n;
  }
  pthread_t id(size_t i) const { return threads_[i].id(); }
  void JoinAll() { threads_.clear(); }

 private:
  static constexpr long kNone = -10'000;

  const void* word_;
  uint32_t flag_;
  std::deque<std::atomic<long>> answers_;
  std::vector<Thread> threads_;
};

// A handler of SIGUSR1 that does nothing, and what was there before at the end.
class Handler {
 public:
  explicit Handler(int flags) {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++runs(); };
    action.sa_flags = flags;
    EXPECT_EQ(sigaction(SIGUSR1, &action, &old_), 0);
    runs() = 0;
  }
  ~Handler() { sigaction(SIGUSR1, &old_, nullptr); }
  static std::atomic<int>& runs() {
    static std::atomic<int> count;
    return count;
  }

 private:
  struct sigaction old_;
};

}  // namespace test

#endif  // TEST_PRELOAD_FUTEX_UTIL_H_
