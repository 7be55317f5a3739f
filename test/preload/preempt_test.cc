// SPDX-License-Identifier: Apache-2.0
// Tests that threads which compute or spin do not keep others from running, however many they are and whatever they
// call meanwhile.
#include <semaphore.h>
#include <string.h>

#include "rivals.h"

namespace {

using test::kRivals;
using test::Thread;

TEST(Preempt, WhoWaitsRunsBesideThoseWhoCompute) {
  test::Load load;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  for (int i = 0; i < 3; ++i) {
    test::SleepMs(1);
    Thread([&] {
      pthread_mutex_lock(&mutex);
      sched_yield();
      pthread_mutex_unlock(&mutex);
      EXPECT_EQ(write(pipes[1], "x", 1), 1);
      return nullptr;
    });
    char byte;
    EXPECT_EQ(read(pipes[0], &byte, 1), 1);
  }
  close(pipes[0]);
  close(pipes[1]);
}

TEST(Preempt, ComputingThreadsTakeTurns) {
  std::atomic<int> steps[kRivals] = {};
  test::Contend([&](int i) {
    test::ComputeABit();
    ++steps[i];
  });
  for (int i = 0; i < kRivals; ++i) EXPECT_GT(steps[i], 0);
}

TEST(Preempt, MainComputes) {
  std::atomic<bool> go = false;
  Thread other([&] {
    go = true;
    return nullptr;
  });
  while (!go.load(std::memory_order_relaxed)) {
  }
}

// A baton goes round; whoever does not have it spins.
template <typename Word>
void PassTheBaton() {
  static Word holder;
  holder = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < kRivals; ++i) {
    threads.emplace_back([i] {
      while (holder != i) {
      }
      holder = i + 1;
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(holder, kRivals);
}

TEST(Preempt, SpinningOnAVolatileFlag) {
  PassTheBaton<volatile int>();
}

TEST(Preempt, SpinningOnAnAtomicFlag) {
  PassTheBaton<std::atomic<int>>();
}

TEST(Preempt, SpinLocks) {
  pthread_spinlock_t lock;
  ASSERT_EQ(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE), 0);
  int inside = 0;
  int64_t entered = 0;
  std::atomic<int64_t> steps = 0;
  test::Contend([&](int) {
    pthread_spin_lock(&lock);
    EXPECT_EQ(++inside, 1);
    test::ComputeABit();
    --inside;
    ++entered;
    pthread_spin_unlock(&lock);
    for (int i = 0; i < 4; ++i) test::ComputeABit();
    ++steps;
  });
  EXPECT_EQ(entered, steps);
  pthread_spin_destroy(&lock);
}

// Spins by `attempt`, which fails until another thread, which comes later than all those who spin, has called `allow`.
void SpinWith(const std::function<bool()>& attempt, const std::function<void()>& allow) {
  std::atomic<int> spinning = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < kRivals; ++i) {
    threads.emplace_back([&] {
      ++spinning;
      while (!attempt()) {
      }
      return nullptr;
    });
  }
  Thread([&] {
    while (spinning < kRivals) {
    }
    allow();
    return nullptr;
  });
}

TEST(Preempt, SpinningWithTrylock) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  std::atomic<bool> unlocks = false;
  Thread owner([&] {
    while (!unlocks) {
    }
    return nullptr;
  });
  SpinWith(
      [&] {
        if (unlocks) return true;
        EXPECT_EQ(pthread_mutex_trylock(&mutex), EBUSY);
        return false;
      },
      [&] { unlocks = true; });
  owner.Join();
  pthread_mutex_unlock(&mutex);
}

TEST(Preempt, SpinningWithTrywait) {
  sem_t sem;
  sem_init(&sem, 0, 0);
  SpinWith([&] { return sem_trywait(&sem) == 0; },
           [&] {
             for (int i = 0; i < kRivals; ++i) sem_post(&sem);
           });
  sem_destroy(&sem);
}

TEST(Preempt, SpinningWithTheClock) {
  std::atomic<bool> go = false;
  SpinWith([&] { return test::NowNs() > 0 && go; }, [&] { go = true; });
}

TEST(Preempt, SpinningWithSystemCalls) {
  std::atomic<bool> go = false;
  SpinWith([&] { return getppid() > 0 && go; }, [&] { go = true; });
}

// Nearly all the time in libc, and never in a call that waits.
TEST(Preempt, ComputingInLibc) {
  static char text[4 << 20];
  memset(text, 'x', sizeof text - 1);
  std::atomic<bool> go = false;
  SpinWith([&] { return strlen(text) == sizeof text - 1 && go; }, [&] { go = true; });
}

int Compare(const void* a, const void* b) {
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

// libc calls the program, which computes.
TEST(Preempt, ComputingInACallbackOfLibcs) {
  test::Contend([](int i) {
    int numbers[4096];
    for (int k = 0; k < 4096; ++k) numbers[k] = (k * 2654435761u + static_cast<unsigned>(i)) >> 8;
    qsort(numbers, 4096, sizeof numbers[0], Compare);
    for (int k = 1; k < 4096; ++k) EXPECT_LE(numbers[k - 1], numbers[k]);
  });
}

TEST(Preempt, NewThreadsBesideThoseWhoCompute) {
  test::Load load;
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> ran = false;
    Thread([&] {
      ran = true;
      return nullptr;
    });
    EXPECT_TRUE(ran);
  }
}

}  // namespace
