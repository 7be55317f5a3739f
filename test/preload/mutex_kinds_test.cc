// SPDX-License-Identifier: Apache-2.0
// Tests mutexes and condition variables that glibc keeps: robust, PI, process-shared.
#include <limits.h>
#include <sched.h>
#include <string.h>

#include <vector>

#include "shared_mutex.h"

namespace {

using test::In;
using test::Init;
using test::Shared;
using test::Thread;
using Options = test::MutexOptions;

class Kinds : public testing::TestWithParam<Options> {};

INSTANTIATE_TEST_SUITE_P(Mutex, Kinds,
                         testing::Values(Options{.robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.protocol = PTHREAD_PRIO_INHERIT},
                                         Options{.pshared = PTHREAD_PROCESS_SHARED},
                                         Options{.protocol = PTHREAD_PRIO_INHERIT, .robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.robust = PTHREAD_MUTEX_ROBUST, .pshared = PTHREAD_PROCESS_SHARED},
                                         Options{.type = PTHREAD_MUTEX_RECURSIVE, .robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.type = PTHREAD_MUTEX_ERRORCHECK, .protocol = PTHREAD_PRIO_INHERIT},
                                         Options{.type = PTHREAD_MUTEX_RECURSIVE, .pshared = PTHREAD_PROCESS_SHARED}));

TEST_P(Kinds, ExcludesUnderContention) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  int64_t counter = 0;
  int inside = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 400; ++i) {
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        EXPECT_EQ(inside++, 0);
        ++counter;
        if (i % 16 == 0) sched_yield();
        --inside;
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 1'600);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Kinds, HeldWhileTheThreadBlocks) {
  // The owner is known to the kernel or to other processes: it must not change under way.
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;
  int rounds = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        usleep(10);
        pthread_mutex_lock(&other);
        sched_yield();
        ++rounds;
        pthread_mutex_unlock(&other);
        if (GetParam().type == PTHREAD_MUTEX_RECURSIVE) {
          EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
          EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
        } else if (GetParam().type == PTHREAD_MUTEX_ERRORCHECK) {
          EXPECT_EQ(pthread_mutex_lock(&mutex), EDEADLK);
        }
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(rounds, 120);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Kinds, BusyAndTimedOut) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  ASSERT_EQ(pthread_mutex_lock(&mutex), 0);
  Thread([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    timespec deadline = In(CLOCK_REALTIME, 10);
    EXPECT_EQ(pthread_mutex_timedlock(&mutex, &deadline), ETIMEDOUT);
    EXPECT_GE(test::NowNs(CLOCK_REALTIME), test::ToNs(deadline));
    return nullptr;
  });
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  Thread([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    return nullptr;
  });
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Kinds, WithAConditionVariable) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  auto player = [&](int me) {
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
      while (turn % 2 != me) EXPECT_EQ(pthread_cond_wait(&cond, &mutex), 0);
      ++turn;
      pthread_cond_signal(&cond);
      EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    }
    return nullptr;
  };
  {
    Thread ping([&] { return player(0); });
    Thread pong([&] { return player(1); });
  }
  EXPECT_EQ(turn, 200);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

class Robust : public testing::TestWithParam<Options> {};

INSTANTIATE_TEST_SUITE_P(Mutex, Robust,
                         testing::Values(Options{.robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.protocol = PTHREAD_PRIO_INHERIT, .robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.robust = PTHREAD_MUTEX_ROBUST, .pshared = PTHREAD_PROCESS_SHARED}));

TEST_P(Robust, OwnerDiedAndConsistent) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  for (int i = 0; i < 5; ++i) {
    Thread([&] {
      EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
      return nullptr;
    });
    EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), EINVAL);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  }
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Robust, NotRecoverable) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  Thread([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    return nullptr;
  });
  EXPECT_EQ(pthread_mutex_trylock(&mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  EXPECT_EQ(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
  EXPECT_EQ(pthread_mutex_trylock(&mutex), ENOTRECOVERABLE);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Robust, AWaiterLearnsOfTheDeath) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  test::Gate held;
  test::Gate die;
  Thread owner([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    held.Open();
    die.Wait();
    return nullptr;
  });
  held.Wait();
  Thread waiter([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    return nullptr;
  });
  test::LetThemWait();
  die.Open();
  owner.Join();
  waiter.Join();
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Robust, OneOfManyHeldAtDeath) {
  constexpr int kMutexes = 5;
  pthread_mutex_t mutexes[kMutexes];
  for (auto& mutex : mutexes) Init(&mutex, GetParam());
  Thread([&] {
    for (auto& mutex : mutexes) EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    usleep(10);
    EXPECT_EQ(pthread_mutex_unlock(&mutexes[2]), 0);
    return nullptr;
  });
  for (int i = 0; i < kMutexes; ++i) {
    EXPECT_EQ(pthread_mutex_lock(&mutexes[i]), i == 2 ? 0 : EOWNERDEAD);
    if (i != 2) {
      EXPECT_EQ(pthread_mutex_consistent(&mutexes[i]), 0);
    }
    EXPECT_EQ(pthread_mutex_unlock(&mutexes[i]), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutexes[i]), 0);
  }
}

TEST(RobustProcess, OwnerProcessDied) {
  struct State {
    pthread_mutex_t mutex;
  };
  Shared<State> shared;
  Init(&shared->mutex, {.robust = PTHREAD_MUTEX_ROBUST, .pshared = PTHREAD_PROCESS_SHARED});
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             CHILD_CHECK(pthread_mutex_lock(&shared->mutex) == 0);
                             return 3;
                           }),
                           3));
  Thread([&] {
    EXPECT_EQ(pthread_mutex_lock(&shared->mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&shared->mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&shared->mutex), 0);
    return nullptr;
  });
}

TEST(PrioProtect, CeilingOfTheMutex) {
  test::HereAndInAThread([] {
    pthread_mutexattr_t attr;
    ASSERT_EQ(pthread_mutexattr_init(&attr), 0);
    EXPECT_EQ(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT), 0);
    EXPECT_EQ(pthread_mutexattr_setprioceiling(&attr, 1000), EINVAL);
    EXPECT_EQ(pthread_mutexattr_setprioceiling(&attr, 10), 0);
    int ceiling = -1;
    EXPECT_EQ(pthread_mutexattr_getprioceiling(&attr, &ceiling), 0);
    EXPECT_EQ(ceiling, 10);
    pthread_mutex_t mutex;
    ASSERT_EQ(pthread_mutex_init(&mutex, &attr), 0);
    ceiling = -1;
    EXPECT_EQ(pthread_mutex_getprioceiling(&mutex, &ceiling), 0);
    EXPECT_EQ(ceiling, 10);
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
    EXPECT_EQ(pthread_mutexattr_destroy(&attr), 0);
    pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
    EXPECT_EQ(pthread_mutex_getprioceiling(&plain, &ceiling), EINVAL);
  });
}

}  // namespace
