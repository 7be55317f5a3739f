// SPDX-License-Identifier: Apache-2.0
// Tests raw futexes between kernel threads that were adopted, and accesses to memory that may not be there.
#include "runtime/sync/futex.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "runtime/init/init.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace {

struct Inside {
  Inside() { mn::enter(); }
  ~Inside() { mn::leave(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

class UserMemory : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(mn::on());
    // A sanitizer has handlers of its own.
    struct sigaction standard {};
    for (int sig : {SIGSEGV, SIGBUS}) ASSERT_EQ(mn::signal_action(sig, &standard, nullptr), 0);
    page_ = static_cast<uint32_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  void TearDown() override { munmap(page_, 4096); }
  void Protect(int protection) { ASSERT_EQ(mprotect(page_, 4096, protection), 0); }

  uint32_t* page_ = nullptr;
};

TEST_F(UserMemory, LoadsAWordOrSaysNo) {
  Inside inside;
  uint32_t value = 7;
  page_[1] = ~0u;
  EXPECT_TRUE(mn::load_word(&page_[1], &value));
  EXPECT_EQ(value, ~0u);
  Protect(PROT_NONE);
  EXPECT_FALSE(mn::load_word(page_, &value));
  EXPECT_FALSE(mn::load_word(nullptr, &value));
  Protect(PROT_READ);
  EXPECT_TRUE(mn::load_word(page_, &value));
  EXPECT_EQ(value, 0u);
}

TEST_F(UserMemory, ExchangesAWordOrSaysNo) {
  Inside inside;
  uint32_t found = 0;
  page_[0] = ~0u;
  EXPECT_TRUE(mn::exchange_word(page_, 5, 6, &found));
  EXPECT_EQ(found, ~0u);
  EXPECT_EQ(page_[0], ~0u);
  EXPECT_TRUE(mn::exchange_word(page_, ~0u, 6, &found));
  EXPECT_EQ(found, ~0u);
  EXPECT_EQ(page_[0], 6u);
  Protect(PROT_READ);
  EXPECT_FALSE(mn::exchange_word(page_, 6, 7, &found));
  EXPECT_FALSE(mn::exchange_word(nullptr, 6, 7, &found));
}

TEST_F(UserMemory, CopiesOrSaysNo) {
  Inside inside;
  std::array<char, 100> from, to{};
  from.fill('x');
  EXPECT_TRUE(mn::copy_memory(to.data(), from.data(), 99));
  EXPECT_EQ(to[98], 'x');
  EXPECT_EQ(to[99], 0);
  char* end = reinterpret_cast<char*>(page_) + 4096;
  EXPECT_TRUE(mn::copy_memory(end - 50, from.data(), 50));
  EXPECT_TRUE(mn::copy_memory(to.data(), end - 50, 50));
  Protect(PROT_NONE);
  EXPECT_FALSE(mn::copy_memory(to.data(), page_, 1));
  EXPECT_FALSE(mn::copy_memory(page_, from.data(), 1));
}

TEST_F(UserMemory, EvenWhileTheSignalsAreBlocked) {
  sigset_t all, old;
  sigfillset(&all);
  mn::signal_mask(SIG_SETMASK, &all, &old);
  {
    Inside inside;
    uint32_t value;
    EXPECT_FALSE(mn::load_word(nullptr, &value));
    EXPECT_FALSE(mn::exchange_word(nullptr, 0, 1, &value));
    EXPECT_FALSE(mn::copy_memory(&value, nullptr, 4));
    EXPECT_TRUE(mn::load_word(page_, &value));
  }
  uint64_t kernels = 0;
  mn::raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, mn::sys_arg(&kernels), 8);
  EXPECT_NE(kernels & (uint64_t{1} << (SIGSEGV - 1)), 0u) << "blocked again";
  mn::signal_mask(SIG_SETMASK, &old, nullptr);
}

class UserFutex : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(mn::on()); }

  // All that wait are moved to where they are.
  static long Waiting(const uint32_t* word) { return mn::ufutex_requeue(word, word, 0, INT32_MAX, nullptr); }
  static void AwaitWaiting(const uint32_t* word, long n) {
    while (Waiting(word) != n) std::this_thread::yield();
  }
  std::thread Waiter(std::atomic<long>* answer, uint32_t bits = ~0u) {
    return std::thread([this, answer, bits] { answer->store(mn::ufutex_wait(&word_, 0, bits, {})); });
  }

  uint32_t word_ = 0, other_ = 0;
};

TEST_F(UserFutex, WakesByBits) {
  std::atomic<long> first{1}, second{1};
  std::thread a = Waiter(&first, 1);
  AwaitWaiting(&word_, 1);
  std::thread b = Waiter(&second, 2);
  AwaitWaiting(&word_, 2);
  EXPECT_EQ(mn::ufutex_wake(&word_, 9, 2), 1);
  b.join();
  EXPECT_EQ(second.load(), 0);
  EXPECT_EQ(first.load(), 1);
  EXPECT_EQ(mn::ufutex_wake(&word_, 9, ~0u), 1);
  a.join();
}

TEST_F(UserFutex, RequeuesAndComparesFirst) {
  std::atomic<long> answers[3] = {1, 1, 1};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.push_back(Waiter(&answers[i]));
    AwaitWaiting(&word_, i + 1);
  }
  uint32_t expected = 1;
  EXPECT_EQ(mn::ufutex_requeue(&word_, &other_, 1, 1, &expected), -EAGAIN);
  expected = 0;
  EXPECT_EQ(mn::ufutex_requeue(&word_, &other_, 1, 1, &expected), 2);
  threads[0].join();
  EXPECT_EQ(Waiting(&word_), 1);
  EXPECT_EQ(Waiting(&other_), 1);
  EXPECT_EQ(mn::ufutex_wake(&other_, 1, ~0u), 1);
  threads[1].join();
  EXPECT_EQ(mn::ufutex_wake(&word_, 1, ~0u), 1);
  threads[2].join();
}

TEST_F(UserFutex, TimesOut) {
  EXPECT_EQ(mn::ufutex_wait(&word_, 1, 1, {}), -EAGAIN);
  EXPECT_EQ(mn::ufutex_wait(&word_, 0, 1, {{CLOCK_MONOTONIC, mn::now_ns() + 5'000'000}, false}), -ETIMEDOUT);
  EXPECT_EQ(mn::ufutex_wait(&word_, 0, 1, {{CLOCK_REALTIME, 0}, false}), -ETIMEDOUT);
  EXPECT_EQ(Waiting(&word_), 0);
}

TEST_F(UserFutex, TellsWhichOfSeveral) {
  auto item = [](uint32_t* word) { return mn::FutexItem{0, reinterpret_cast<uintptr_t>(word), 2 | 128, 0}; };
  std::atomic<long> answer{-1};
  std::thread thread([&] {
    mn::FutexItem items[] = {item(&word_), item(&other_)};
    answer.store(mn::ufutex_wait_any(items, 2, {}));
  });
  AwaitWaiting(&other_, 1);
  EXPECT_EQ(mn::ufutex_wake(&other_, 1, ~0u), 1);
  thread.join();
  EXPECT_EQ(answer.load(), 1);
  EXPECT_EQ(Waiting(&word_), 0);
}

TEST_F(UserFutex, ChangesAWordAndWakesOnBoth) {
  std::atomic<long> answer{1};
  std::thread thread = Waiter(&answer);
  AwaitWaiting(&word_, 1);
  mn::FutexChange add{mn::FutexChange::kAdd, 3, mn::FutexChange::kEqual, 1};
  EXPECT_EQ(mn::ufutex_wake_op(&other_, 1, &word_, 1, add), 0);
  EXPECT_EQ(word_, 3u);
  add.with = 3;
  EXPECT_EQ(mn::ufutex_wake_op(&other_, 1, &word_, 1, add), 1);
  EXPECT_EQ(word_, 6u);
  thread.join();
  EXPECT_EQ(answer.load(), 0);
}

}  // namespace
