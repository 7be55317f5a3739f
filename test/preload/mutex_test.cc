// SPDX-License-Identifier: Apache-2.0
// Tests what sets the kinds of mutexes apart, initialisers, attributes, and long chains of owners.
#include <sched.h>

#include <array>
#include <mutex>
#include <vector>

#include "mutex_of_kind.h"
#include "util.h"

namespace {

using test::HereAndInAThread;
using test::In;
using test::InThread;
using test::Mutex;
using test::Thread;

TEST(Mutex, RecursiveCounts) {
  Mutex mutex(PTHREAD_MUTEX_RECURSIVE);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  EXPECT_EQ(pthread_mutex_trylock(mutex.get()), 0);
  const timespec past = {.tv_sec = 0, .tv_nsec = 0};
  EXPECT_EQ(pthread_mutex_timedlock(mutex.get(), &past), 0);
  for (int i = 0; i < 11; ++i) {
    ASSERT_EQ(pthread_mutex_unlock(mutex.get()), 0);
    ASSERT_EQ(InThread([&] { return pthread_mutex_trylock(mutex.get()); }), EBUSY);
  }
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
  EXPECT_EQ(InThread([&] {
              const int error = pthread_mutex_trylock(mutex.get());
              if (error == 0) pthread_mutex_unlock(mutex.get());
              return error;
            }),
            0);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), EPERM);
}

TEST(Mutex, RecursiveUnlockByAnotherThreadIsRefused) {
  Mutex mutex(PTHREAD_MUTEX_RECURSIVE);
  ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  EXPECT_EQ(InThread([&] { return pthread_mutex_unlock(mutex.get()); }), EPERM);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
}

TEST(Mutex, ErrorCheckErrors) {
  Mutex mutex(PTHREAD_MUTEX_ERRORCHECK);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), EPERM);
  ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  EXPECT_EQ(pthread_mutex_lock(mutex.get()), EDEADLK);
  EXPECT_EQ(pthread_mutex_trylock(mutex.get()), EBUSY);
  const timespec later = In(CLOCK_REALTIME, 1000);
  EXPECT_EQ(pthread_mutex_timedlock(mutex.get(), &later), EDEADLK);
  EXPECT_EQ(InThread([&] { return pthread_mutex_unlock(mutex.get()); }), EPERM);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), EPERM);
}

TEST(Mutex, NormalTimedRelockTimesOut) {
  HereAndInAThread([&] {
    Mutex mutex(PTHREAD_MUTEX_NORMAL);
    ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
    EXPECT_EQ(pthread_mutex_trylock(mutex.get()), EBUSY);
    const timespec deadline = In(CLOCK_REALTIME, 10);
    EXPECT_EQ(pthread_mutex_timedlock(mutex.get(), &deadline), ETIMEDOUT);
    EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
  });
}

TEST(Mutex, NormalMayBeUnlockedByAnotherThread) {
  // Not portable, but programs do it and glibc lets them.
  Mutex mutex(PTHREAD_MUTEX_NORMAL);
  ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  EXPECT_EQ(InThread([&] { return pthread_mutex_unlock(mutex.get()); }), 0);
  EXPECT_EQ(pthread_mutex_trylock(mutex.get()), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
}

TEST(Mutex, StaticInitialisersKeepTheirKind) {
  static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
  static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
  static pthread_mutex_t errorcheck = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;

  EXPECT_EQ(pthread_mutex_lock(&normal), 0);
  EXPECT_EQ(pthread_mutex_trylock(&normal), EBUSY);
  EXPECT_EQ(pthread_mutex_unlock(&normal), 0);

  EXPECT_EQ(pthread_mutex_unlock(&recursive), EPERM);
  EXPECT_EQ(pthread_mutex_lock(&recursive), 0);
  EXPECT_EQ(pthread_mutex_lock(&recursive), 0);
  EXPECT_EQ(pthread_mutex_unlock(&recursive), 0);
  EXPECT_EQ(pthread_mutex_unlock(&recursive), 0);
  EXPECT_EQ(pthread_mutex_unlock(&recursive), EPERM);

  EXPECT_EQ(pthread_mutex_unlock(&errorcheck), EPERM);
  EXPECT_EQ(pthread_mutex_lock(&errorcheck), 0);
  EXPECT_EQ(pthread_mutex_lock(&errorcheck), EDEADLK);
  EXPECT_EQ(pthread_mutex_unlock(&errorcheck), 0);

  EXPECT_EQ(pthread_mutex_lock(&adaptive), 0);
  EXPECT_EQ(pthread_mutex_trylock(&adaptive), EBUSY);
  EXPECT_EQ(pthread_mutex_unlock(&adaptive), 0);

  for (pthread_mutex_t* mutex : {&normal, &recursive, &errorcheck, &adaptive}) {
    int64_t counter = 0;
    std::vector<Thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1'000; ++i) {
          pthread_mutex_lock(mutex);
          ++counter;
          pthread_mutex_unlock(mutex);
        }
        return nullptr;
      });
    }
    threads.clear();
    EXPECT_EQ(counter, 4'000);
    EXPECT_EQ(pthread_mutex_destroy(mutex), 0);
  }
}

TEST(Mutex, ZeroedMemoryIsANormalMutex) {
  HereAndInAThread([&] {
    alignas(pthread_mutex_t) unsigned char memory[sizeof(pthread_mutex_t)] = {};
    auto* mutex = reinterpret_cast<pthread_mutex_t*>(memory);
    EXPECT_EQ(pthread_mutex_lock(mutex), 0);
    EXPECT_EQ(pthread_mutex_trylock(mutex), EBUSY);
    EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
    EXPECT_EQ(pthread_mutex_destroy(mutex), 0);
  });
}

TEST(Mutex, DestroyedIsInvalidUntilInitialisedAgain) {
  HereAndInAThread([&] {
    pthread_mutex_t mutex;
    ASSERT_EQ(pthread_mutex_init(&mutex, nullptr), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
    EXPECT_EQ(pthread_mutex_trylock(&mutex), EINVAL);
    EXPECT_EQ(pthread_mutex_lock(&mutex), EINVAL);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), EINVAL);
    ASSERT_EQ(pthread_mutex_init(&mutex, nullptr), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
  });
}

TEST(Mutex, Attributes) {
  HereAndInAThread([&] {
    pthread_mutexattr_t attr;
    ASSERT_EQ(pthread_mutexattr_init(&attr), 0);
    int value = -1;
    EXPECT_EQ(pthread_mutexattr_gettype(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_MUTEX_DEFAULT);
    EXPECT_EQ(pthread_mutexattr_getpshared(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_PROCESS_PRIVATE);
    EXPECT_EQ(pthread_mutexattr_getprotocol(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_PRIO_NONE);
    EXPECT_EQ(pthread_mutexattr_getrobust(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_MUTEX_STALLED);
    for (const int kind :
         {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_NORMAL}) {
      EXPECT_EQ(pthread_mutexattr_settype(&attr, kind), 0);
      EXPECT_EQ(pthread_mutexattr_gettype(&attr, &value), 0);
      EXPECT_EQ(value, kind);
    }
    EXPECT_EQ(pthread_mutexattr_settype(&attr, 4), EINVAL);
    EXPECT_EQ(pthread_mutexattr_settype(&attr, -1), EINVAL);
    EXPECT_EQ(pthread_mutexattr_setpshared(&attr, 2), EINVAL);
    EXPECT_EQ(pthread_mutexattr_setprotocol(&attr, 3), EINVAL);
    EXPECT_EQ(pthread_mutexattr_setrobust(&attr, 2), EINVAL);
    EXPECT_EQ(pthread_mutexattr_destroy(&attr), 0);
  });
}

TEST(Mutex, ManyWaitersAllGetIt) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  int order = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 200; ++i) {
    threads.emplace_back([&] {
      pthread_mutex_lock(&mutex);
      ++order;
      pthread_mutex_unlock(&mutex);
      return nullptr;
    });
  }
  test::LetThemWait();
  EXPECT_EQ(order, 0);
  pthread_mutex_unlock(&mutex);
  threads.clear();
  EXPECT_EQ(order, 200);
}

TEST(Mutex, HeldWhileSleepingAndBlocking) {
  // The holder sleeps with the mutex held; everyone else gets on once it is released.
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  std::atomic<int> total = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      pthread_mutex_lock(&mutex);
      const int before = total.load();
      test::SleepMs(1);
      total = before + 1;
      pthread_mutex_unlock(&mutex);
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(total, 20);
}

TEST(Mutex, ChainOfHands) {
  // Each thread unlocks what the next waits for: a thousand hand-overs round a ring of mutexes.
  constexpr int kThreads = 5;
  std::array<pthread_mutex_t, kThreads> ring;
  for (auto& mutex : ring) {
    pthread_mutex_init(&mutex, nullptr);
    pthread_mutex_lock(&mutex);
  }
  int hands = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        pthread_mutex_lock(&ring[t]);
        EXPECT_EQ(hands % kThreads, t);
        ++hands;
        pthread_mutex_unlock(&ring[(t + 1) % kThreads]);
      }
      return nullptr;
    });
  }
  pthread_mutex_unlock(&ring[0]);
  threads.clear();
  EXPECT_EQ(hands, 200 * kThreads);
}

TEST(Mutex, OwnershipSurvivesBlockingElsewhere) {
  // The owner is the thread, wherever it runs after it blocked.
  Mutex check(PTHREAD_MUTEX_ERRORCHECK);
  Mutex recursive(PTHREAD_MUTEX_RECURSIVE);
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(pthread_mutex_lock(check.get()), 0);
        test::SleepMs(0);
        sched_yield();
        EXPECT_EQ(pthread_mutex_lock(check.get()), EDEADLK);
        EXPECT_EQ(pthread_mutex_unlock(check.get()), 0);
        EXPECT_EQ(pthread_mutex_lock(recursive.get()), 0);
        usleep(100);
        EXPECT_EQ(pthread_mutex_lock(recursive.get()), 0);
        EXPECT_EQ(pthread_mutex_unlock(recursive.get()), 0);
        EXPECT_EQ(pthread_mutex_unlock(recursive.get()), 0);
      }
      return nullptr;
    });
  }
}

TEST(Mutex, StandardMutexes) {
  std::recursive_timed_mutex recursive;
  std::timed_mutex timed;
  int counter = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        std::scoped_lock both(recursive, timed);
        std::lock_guard again(recursive);
        ++counter;
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 1'200);
  timed.lock();
  EXPECT_FALSE(InThread([&] { return static_cast<int>(timed.try_lock_for(std::chrono::milliseconds(5))); }));
  timed.unlock();
}

}  // namespace
