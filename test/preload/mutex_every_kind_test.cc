// SPDX-License-Identifier: Apache-2.0
// Tests what mutexes of every kind have in common: exclusion, timed locks, hand-over.
#include <limits.h>
#include <sched.h>
#include <string.h>

#include <vector>

#include "mutex_of_kind.h"
#include "util.h"

namespace {

using test::In;
using test::InThread;
using test::Mutex;
using test::NowNs;
using test::Thread;

class EveryKind : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Mutex, EveryKind,
                         testing::Values(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                                         PTHREAD_MUTEX_ADAPTIVE_NP));

TEST_P(EveryKind, ExcludesUnderContention) {
  Mutex mutex(GetParam());
  constexpr int kThreads = 8;
  constexpr int kRounds = 5'000;
  int64_t counter = 0;
  int inside = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        EXPECT_EQ(pthread_mutex_lock(mutex.get()), 0);
        EXPECT_EQ(inside++, 0);
        ++counter;
        if ((i + t) % 64 == 0) sched_yield();
        EXPECT_EQ(--inside, 0);
        EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, int64_t{kThreads} * kRounds);
}

TEST_P(EveryKind, MixOfLockTryLockAndTimedLock) {
  Mutex mutex(GetParam());
  int64_t counter = 0;
  std::atomic<int64_t> expected = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1'000; ++i) {
        int error = 0;
        if ((i + t) % 3 == 0) {
          error = pthread_mutex_lock(mutex.get());
          EXPECT_EQ(error, 0);
        } else if ((i + t) % 3 == 1) {
          error = pthread_mutex_trylock(mutex.get());
          EXPECT_TRUE(error == 0 || error == EBUSY) << error;
        } else {
          const timespec deadline = In(CLOCK_MONOTONIC, i % 2);
          error = pthread_mutex_clocklock(mutex.get(), CLOCK_MONOTONIC, &deadline);
          EXPECT_TRUE(error == 0 || error == ETIMEDOUT) << error;
        }
        if (error != 0) continue;
        ++counter;
        expected.fetch_add(1);
        if (i % 50 == 0) sched_yield();
        EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, expected);
}

TEST_P(EveryKind, HeldByAnotherThread) {
  Mutex mutex(GetParam());
  ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  EXPECT_EQ(InThread([&] { return pthread_mutex_trylock(mutex.get()); }), EBUSY);
  EXPECT_EQ(pthread_mutex_destroy(mutex.get()), EBUSY);
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
    EXPECT_EQ(InThread([&] {
                const timespec deadline = In(clock, 10);
                const int error = pthread_mutex_clocklock(mutex.get(), clock, &deadline);
                EXPECT_GE(NowNs(clock), test::ToNs(deadline));
                return error;
              }),
              ETIMEDOUT);
  }
  EXPECT_EQ(InThread([&] {
              const timespec deadline = In(CLOCK_REALTIME, 10);
              const int error = pthread_mutex_timedlock(mutex.get(), &deadline);
              EXPECT_GE(NowNs(CLOCK_REALTIME), test::ToNs(deadline));
              return error;
            }),
            ETIMEDOUT);
  EXPECT_EQ(InThread([&] {
              const timespec past = In(CLOCK_REALTIME, -1000);
              return pthread_mutex_timedlock(mutex.get(), &past);
            }),
            ETIMEDOUT);
  EXPECT_EQ(InThread([&] {
              const timespec negative = {.tv_sec = -1, .tv_nsec = 0};
              return pthread_mutex_timedlock(mutex.get(), &negative);
            }),
            ETIMEDOUT);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
}

TEST_P(EveryKind, BadTimesAndClocks) {
  Mutex mutex(GetParam());
  ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  for (const long nsec : {-1L, 1'000'000'000L, LONG_MAX, LONG_MIN}) {
    EXPECT_EQ(InThread([&] {
                timespec bad = In(CLOCK_REALTIME, 1000);
                bad.tv_nsec = nsec;
                return pthread_mutex_timedlock(mutex.get(), &bad);
              }),
              EINVAL);
  }
  EXPECT_EQ(InThread([&] {
              const timespec soon = In(CLOCK_MONOTONIC, 1000);
              return pthread_mutex_clocklock(mutex.get(), CLOCK_PROCESS_CPUTIME_ID, &soon);
            }),
            EINVAL);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
  // A free mutex is taken whatever the time says, but not with an unknown clock.
  const timespec bad = {.tv_sec = 0, .tv_nsec = -1};
  EXPECT_EQ(pthread_mutex_timedlock(mutex.get(), &bad), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
  EXPECT_EQ(pthread_mutex_clocklock(mutex.get(), 99, &bad), EINVAL);
}

TEST_P(EveryKind, TimedLockIsHandedOver) {
  Mutex mutex(GetParam());
  ASSERT_EQ(pthread_mutex_lock(mutex.get()), 0);
  std::atomic<int> got = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      const timespec deadline = In(CLOCK_MONOTONIC, 20'000);
      if (pthread_mutex_clocklock(mutex.get(), CLOCK_MONOTONIC, &deadline) == 0) {
        got.fetch_add(1);
        EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
      }
      return nullptr;
    });
  }
  test::LetThemWait();
  EXPECT_EQ(got, 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex.get()), 0);
  threads.clear();
  EXPECT_EQ(got, 10);
}

TEST_P(EveryKind, DestroyedByTheOneWhoSawTheLastUnlock) {
  // The unlocker must not touch the mutex once another has taken and destroyed it.
  for (int i = 0; i < 300; ++i) {
    struct Object {
      pthread_mutex_t mutex;
      bool done = false;
    };
    auto* object = new Object;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, GetParam());
    ASSERT_EQ(pthread_mutex_init(&object->mutex, &attr), 0);
    pthread_mutexattr_destroy(&attr);
    Thread thread([object] {
      pthread_mutex_lock(&object->mutex);
      object->done = true;
      pthread_mutex_unlock(&object->mutex);
      return nullptr;
    });
    for (bool done = false; !done;) {
      pthread_mutex_lock(&object->mutex);
      done = object->done;
      pthread_mutex_unlock(&object->mutex);
      if (!done) sched_yield();
    }
    ASSERT_EQ(pthread_mutex_destroy(&object->mutex), 0);
    memset(static_cast<void*>(object), 0x55, sizeof *object);
    delete object;
  }
}

}  // namespace
