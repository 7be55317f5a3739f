// SPDX-License-Identifier: Apache-2.0
// Tests what C++20's library builds of raw futexes: waits on atomics, semaphores, latches, barriers.
#include <atomic>
#include <barrier>
#include <chrono>
#include <latch>
#include <semaphore>
#include <thread>
#include <vector>

#include "util.h"

namespace {

using std::chrono::milliseconds;

TEST(AtomicWait, NotifyOneAndAll) {
  std::atomic<int> turn = 0;
  std::vector<std::jthread> threads;
  constexpr int kPlayers = 4;
  constexpr int kRounds = 500;
  for (int me = 0; me < kPlayers; ++me) {
    threads.emplace_back([&turn, me] {
      for (int i = 0; i < kRounds; ++i) {
        for (int now = turn; now % kPlayers != me; now = turn) turn.wait(now);
        ++turn;
        turn.notify_all();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(turn, kPlayers * kRounds);
}

template <typename T>
class AtomicWaitOf : public testing::Test {};
using Types = testing::Types<bool, uint8_t, int16_t, int32_t, uint64_t, void*>;
TYPED_TEST_SUITE(AtomicWaitOf, Types);

TYPED_TEST(AtomicWaitOf, WakesItsWaiters) {
  std::atomic<TypeParam> value{};
  std::atomic<int> woken = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      value.wait(TypeParam{});
      ++woken;
    });
  }
  test::LetThemWait();
  EXPECT_EQ(woken, 0);
  value = (TypeParam)1;
  value.notify_all();
  threads.clear();
  EXPECT_EQ(woken, 8);
}

TEST(AtomicWait, Flag) {
  std::atomic_flag flags[100];
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < std::size(flags); ++i) {
    threads.emplace_back([&flags, i] {
      flags[i - 1].wait(false);
      flags[i].test_and_set();
      flags[i].notify_one();
    });
  }
  flags[0].test_and_set();
  flags[0].notify_one();
  flags[std::size(flags) - 1].wait(false);
}

TEST(AtomicWait, Semaphores) {
  std::counting_semaphore<8> room(8);
  std::counting_semaphore<8> items(0);
  std::atomic<int> inside = 0;
  std::atomic<int> consumed = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        room.acquire();
        EXPECT_LE(++inside, 8);
        items.release();
      }
    });
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        items.acquire();
        --inside;
        ++consumed;
        room.release();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(consumed, 3'000);
}

TEST(AtomicWait, SemaphoresWithTimeouts) {
  std::binary_semaphore semaphore(0);
  std::atomic<bool> timed_out = false;
  std::jthread other([&] {
    EXPECT_FALSE(semaphore.try_acquire());
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(semaphore.try_acquire_for(milliseconds(20)));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(20));
    const auto until = std::chrono::system_clock::now() + milliseconds(20);
    EXPECT_FALSE(semaphore.try_acquire_until(until));
    timed_out = true;
    timed_out.notify_one();
    EXPECT_TRUE(semaphore.try_acquire_for(std::chrono::hours(10)));
  });
  timed_out.wait(false);
  test::LetThemWait();
  semaphore.release();
}

TEST(AtomicWait, LatchesAndBarriers) {
  constexpr int kThreads = 20;
  constexpr int kPhases = 50;
  std::latch start(kThreads + 1);
  std::atomic<int> arrived = 0;
  std::atomic<int> completed = 0;
  std::barrier barrier(kThreads, [&]() noexcept {
    ++completed;
    EXPECT_EQ(arrived, completed * kThreads);
  });
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      for (int i = 0; i < kPhases; ++i) {
        ++arrived;
        barrier.arrive_and_wait();
      }
    });
  }
  EXPECT_EQ(arrived, 0);
  start.arrive_and_wait();
  threads.clear();
  EXPECT_EQ(completed, kPhases);
}

}  // namespace
