// SPDX-License-Identifier: Apache-2.0
// Tests barriers and spin locks: rounds, the serial thread, destroy straight after, exclusion.
#include <limits.h>
#include <sched.h>
#include <string.h>

#include <barrier>
#include <latch>
#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::Thread;

TEST(Barrier, OneSerialThreadARound) {
  constexpr int kThreads = 7;
  constexpr int kRounds = 300;
  pthread_barrier_t barrier;
  ASSERT_EQ(pthread_barrier_init(&barrier, nullptr, kThreads), 0);
  std::atomic<int> serial[kRounds] = {};
  std::atomic<int> arrived[kRounds] = {};
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        ++arrived[i];
        const int result = pthread_barrier_wait(&barrier);
        EXPECT_EQ(arrived[i], kThreads);
        if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
          ++serial[i];
        } else {
          EXPECT_EQ(result, 0);
        }
      }
      return nullptr;
    });
  }
  threads.clear();
  for (const auto& count : serial) EXPECT_EQ(count, 1);
  EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
}

TEST(Barrier, Phases) {
  // Each thread reads what its neighbours wrote in the phase before.
  constexpr int kThreads = 6;
  pthread_barrier_t barrier;
  ASSERT_EQ(pthread_barrier_init(&barrier, nullptr, kThreads), 0);
  int cells[2][kThreads] = {};
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const int* from = cells[i % 2];
        EXPECT_EQ(from[(t + 1) % kThreads], from[t]);
        cells[(i + 1) % 2][t] = from[(t + kThreads - 1) % kThreads] + 1;
        if ((i + t) % 8 == 0) usleep(1);
        pthread_barrier_wait(&barrier);
      }
      return nullptr;
    });
  }
  threads.clear();
  for (const int cell : cells[0]) EXPECT_EQ(cell, 200);
  EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
}

TEST(Barrier, DestroyStraightAfter) {
  for (int i = 0; i < 200; ++i) {
    auto* barrier = new pthread_barrier_t;
    ASSERT_EQ(pthread_barrier_init(barrier, nullptr, 4), 0);
    std::vector<Thread> threads;
    std::atomic<int> destroyers = 0;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, barrier] {
        if (pthread_barrier_wait(barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
          ++destroyers;
          EXPECT_EQ(pthread_barrier_destroy(barrier), 0);
          memset(static_cast<void*>(barrier), 0xaa, sizeof *barrier);
          delete barrier;
        }
        return nullptr;
      });
    }
    threads.clear();
    EXPECT_EQ(destroyers, 1);
  }
}

TEST(Barrier, OfOne) {
  HereAndInAThread([] {
    pthread_barrier_t barrier;
    ASSERT_EQ(pthread_barrier_init(&barrier, nullptr, 1), 0);
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(pthread_barrier_wait(&barrier), PTHREAD_BARRIER_SERIAL_THREAD);
    }
    EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
  });
}

TEST(Barrier, Errors) {
  HereAndInAThread([] {
    pthread_barrier_t barrier;
    EXPECT_EQ(pthread_barrier_init(&barrier, nullptr, 0), EINVAL);
    EXPECT_EQ(pthread_barrier_init(&barrier, nullptr, UINT_MAX), EINVAL);
    pthread_barrierattr_t attr;
    ASSERT_EQ(pthread_barrierattr_init(&attr), 0);
    EXPECT_EQ(pthread_barrierattr_setpshared(&attr, 17), EINVAL);
    int value = -1;
    EXPECT_EQ(pthread_barrierattr_getpshared(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_PROCESS_PRIVATE);
    EXPECT_EQ(pthread_barrierattr_destroy(&attr), 0);
  });
}

TEST(Barrier, MoreThreadsThanTheCount) {
  // Twelve threads through a barrier of three, over and over: four full rounds each time.
  pthread_barrier_t barrier;
  ASSERT_EQ(pthread_barrier_init(&barrier, nullptr, 3), 0);
  std::atomic<int> serial = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&] {
      if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(serial, 4);
  EXPECT_EQ(pthread_barrier_destroy(&barrier), 0);
}

TEST(Barrier, Standard) {
  int completions = 0;
  std::barrier barrier(5, [&completions]() noexcept { ++completions; });
  std::latch latch(5);
  std::atomic<int> seen = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([&] {
      for (int i = 1; i <= 50; ++i) {
        barrier.arrive_and_wait();
        if (completions < i) ++seen;
      }
      latch.count_down();
      return nullptr;
    });
  }
  latch.wait();
  threads.clear();
  EXPECT_EQ(completions, 50);
  EXPECT_EQ(seen, 0);
}

class Spin : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pthread_spin_init(&lock_, PTHREAD_PROCESS_PRIVATE), 0); }
  void TearDown() override { EXPECT_EQ(pthread_spin_destroy(&lock_), 0); }

  pthread_spinlock_t lock_;
};

TEST_F(Spin, Excludes) {
  int64_t counter = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        EXPECT_EQ(pthread_spin_lock(&lock_), 0);
        ++counter;
        EXPECT_EQ(pthread_spin_unlock(&lock_), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 20'000);
}

TEST_F(Spin, TryLock) {
  HereAndInAThread([&] {
    EXPECT_EQ(pthread_spin_trylock(&lock_), 0);
    EXPECT_EQ(pthread_spin_trylock(&lock_), EBUSY);
    Thread([&] {
      EXPECT_EQ(pthread_spin_trylock(&lock_), EBUSY);
      return nullptr;
    });
    EXPECT_EQ(pthread_spin_unlock(&lock_), 0);
    Thread([&] {
      EXPECT_EQ(pthread_spin_trylock(&lock_), 0);
      return nullptr;
    });
    EXPECT_EQ(pthread_spin_unlock(&lock_), 0);  // glibc knows no owner.
  });
}

TEST_F(Spin, HeldByAThreadThatGivesWay) {
  // The holder loses its processor with the lock held; spinners must let it come back.
  int counter = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(pthread_spin_lock(&lock_), 0);
        const int before = counter;
        sched_yield();
        counter = before + 1;
        EXPECT_EQ(pthread_spin_unlock(&lock_), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 80);
}

}  // namespace
