// SPDX-License-Identifier: Apache-2.0
// Tests semaphores: counting, timed waits, errors, signal handlers.
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>

#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::In;
using test::NowNs;
using test::Thread;

class Sem : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(sem_init(&sem_, 0, 0), 0); }
  void TearDown() override { EXPECT_EQ(sem_destroy(&sem_), 0); }
  int Value() {
    int value = -1;
    EXPECT_EQ(sem_getvalue(&sem_, &value), 0);
    return value;
  }
  void WaitOk() {
    int result;
    do {
      result = sem_wait(&sem_);
    } while (result == -1 && errno == EINTR);
    EXPECT_EQ(result, 0);
  }

  sem_t sem_;
};

// With one scheduling context each wake-up by a thread of the kernel's finds it idle, or just becoming so.
TEST_F(Sem, ToAndFroBetweenAThreadAndOneOfTheKernels) {
  constexpr int kRounds = 10'000;
  sem_t back;
  ASSERT_EQ(sem_init(&back, 0, 0), 0);
  Thread other([&]() -> void* {
    const sched_param param = {};
    EXPECT_EQ(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param), 0);
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_EQ(sem_post(&back), 0);
      WaitOk();
    }
    return nullptr;
  });
  for (int i = 0; i < kRounds; ++i) {
    while (sem_wait(&back) != 0) EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(sem_post(&sem_), 0);
  }
  other.Join();
  EXPECT_EQ(sem_destroy(&back), 0);
}

TEST_F(Sem, Counts) {
  HereAndInAThread([&] {
    EXPECT_EQ(Value(), 0);
    for (int i = 1; i <= 10; ++i) {
      EXPECT_EQ(sem_post(&sem_), 0);
      EXPECT_EQ(Value(), i);
    }
    EXPECT_EQ(sem_wait(&sem_), 0);
    EXPECT_EQ(sem_trywait(&sem_), 0);
    EXPECT_EQ(Value(), 8);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(sem_wait(&sem_), 0);
    sem_t seven;
    ASSERT_EQ(sem_init(&seven, 0, 7), 0);
    int value = -1;
    EXPECT_EQ(sem_getvalue(&seven, &value), 0);
    EXPECT_EQ(value, 7);
    EXPECT_EQ(sem_destroy(&seven), 0);
  });
}

TEST_F(Sem, Errors) {
  HereAndInAThread([&] {
    errno = 0;
    EXPECT_EQ(sem_trywait(&sem_), -1);
    EXPECT_EQ(errno, EAGAIN);
    sem_t other;
    errno = 0;
    EXPECT_EQ(sem_init(&other, 0, static_cast<unsigned>(SEM_VALUE_MAX) + 1), -1);
    EXPECT_EQ(errno, EINVAL);
    ASSERT_EQ(sem_init(&other, 0, SEM_VALUE_MAX), 0);
    errno = 0;
    EXPECT_EQ(sem_post(&other), -1);
    EXPECT_EQ(errno, EOVERFLOW);
    EXPECT_EQ(sem_wait(&other), 0);
    EXPECT_EQ(sem_post(&other), 0);
    EXPECT_EQ(sem_destroy(&other), 0);
  });
}

TEST_F(Sem, TimedWait) {
  HereAndInAThread([&] {
    timespec deadline = In(CLOCK_REALTIME, 20);
    errno = 0;
    EXPECT_EQ(sem_timedwait(&sem_, &deadline), -1);
    EXPECT_EQ(errno, ETIMEDOUT);
    EXPECT_GE(NowNs(CLOCK_REALTIME), test::ToNs(deadline));
    deadline = {.tv_sec = 0, .tv_nsec = 0};
    errno = 0;
    EXPECT_EQ(sem_timedwait(&sem_, &deadline), -1);
    EXPECT_EQ(errno, ETIMEDOUT);
    deadline = {.tv_sec = -7, .tv_nsec = 0};
    errno = 0;
    EXPECT_EQ(sem_timedwait(&sem_, &deadline), -1);
    EXPECT_EQ(errno, ETIMEDOUT);
    for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      deadline = In(clock, 10);
      errno = 0;
      EXPECT_EQ(sem_clockwait(&sem_, clock, &deadline), -1);
      EXPECT_EQ(errno, ETIMEDOUT);
      EXPECT_GE(NowNs(clock), test::ToNs(deadline));
    }
    EXPECT_EQ(Value(), 0);
  });
}

TEST_F(Sem, BadTimesAndClocks) {
  HereAndInAThread([&] {
    for (const long nsec : {-1L, 1'000'000'000L, LONG_MAX, LONG_MIN}) {
      timespec bad = In(CLOCK_REALTIME, 1000);
      bad.tv_nsec = nsec;
      errno = 0;
      EXPECT_EQ(sem_timedwait(&sem_, &bad), -1);
      EXPECT_EQ(errno, EINVAL);
      errno = 0;
      EXPECT_EQ(sem_clockwait(&sem_, CLOCK_MONOTONIC, &bad), -1);
      EXPECT_EQ(errno, EINVAL);
      // glibc looks at the time first, even when nobody has to wait.
      EXPECT_EQ(sem_post(&sem_), 0);
      errno = 0;
      EXPECT_EQ(sem_timedwait(&sem_, &bad), -1);
      EXPECT_EQ(errno, EINVAL);
      EXPECT_EQ(sem_wait(&sem_), 0);
    }
    const timespec soon = In(CLOCK_REALTIME, 1000);
    errno = 0;
    EXPECT_EQ(sem_clockwait(&sem_, CLOCK_PROCESS_CPUTIME_ID, &soon), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(Sem, PostWakesAWaiterOnEveryKindOfWait) {
  for (int kind = 0; kind < 3; ++kind) {
    Thread waiter([&] {
      if (kind == 0) {
        EXPECT_EQ(sem_wait(&sem_), 0);
      } else if (kind == 1) {
        const timespec deadline = In(CLOCK_REALTIME, 20'000);
        EXPECT_EQ(sem_timedwait(&sem_, &deadline), 0);
      } else {
        const timespec deadline = In(CLOCK_MONOTONIC, 20'000);
        EXPECT_EQ(sem_clockwait(&sem_, CLOCK_MONOTONIC, &deadline), 0);
      }
      return nullptr;
    });
    test::LetThemWait();
    EXPECT_EQ(sem_post(&sem_), 0);
    waiter.Join();
    EXPECT_EQ(Value(), 0);
  }
}

TEST_F(Sem, SuccessLeavesErrnoAlone) {
  HereAndInAThread([&] {
    EXPECT_EQ(sem_post(&sem_), 0);
    errno = 4711;
    EXPECT_EQ(sem_wait(&sem_), 0);
    EXPECT_EQ(errno, 4711);
    EXPECT_EQ(sem_post(&sem_), 0);
    EXPECT_EQ(errno, 4711);
    EXPECT_EQ(sem_trywait(&sem_), 0);
    EXPECT_EQ(errno, 4711);
  });
}

TEST_F(Sem, PingPong) {
  sem_t back;
  ASSERT_EQ(sem_init(&back, 0, 0), 0);
  int balls = 0;
  Thread thread([&] {
    for (int i = 0; i < 3'000; ++i) {
      WaitOk();
      EXPECT_EQ(balls, 1);
      balls = 0;
      sem_post(&back);
    }
    return nullptr;
  });
  for (int i = 0; i < 3'000; ++i) {
    EXPECT_EQ(balls, 0);
    balls = 1;
    sem_post(&sem_);
    EXPECT_EQ(sem_wait(&back), 0);
  }
  thread.Join();
  EXPECT_EQ(sem_destroy(&back), 0);
}

TEST_F(Sem, AtMostThatManyInside) {
  constexpr int kPermits = 3;
  for (int i = 0; i < kPermits; ++i) sem_post(&sem_);
  std::atomic<int> inside = 0;
  std::atomic<int> passes = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        WaitOk();
        EXPECT_LE(inside.fetch_add(1), kPermits - 1);
        if (i % 16 == 0) usleep(10);
        ++passes;
        inside.fetch_sub(1);
        sem_post(&sem_);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(passes, 12 * 200);
  EXPECT_EQ(Value(), kPermits);
}

TEST_F(Sem, AsManyPostsAsWaitsWakeEverybody) {
  std::vector<Thread> threads;
  std::atomic<int> passed = 0;
  for (int t = 0; t < 100; ++t) {
    threads.emplace_back([&] {
      WaitOk();
      ++passed;
      return nullptr;
    });
  }
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) EXPECT_EQ(sem_post(&sem_), 0);
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(passed, 100);
  EXPECT_EQ(Value(), 0);
}

TEST_F(Sem, TimeoutsAndPostsTogetherLoseNothing) {
  constexpr int kPosts = 2'000;
  std::atomic<int> taken = 0;
  std::atomic<bool> closed = false;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (;;) {
        const timespec deadline = test::FromNs(NowNs() + (t + 1) * 40'000);
        if (sem_clockwait(&sem_, CLOCK_MONOTONIC, &deadline) == 0) {
          ++taken;
        } else {
          EXPECT_EQ(errno, ETIMEDOUT);
          if (closed && Value() == 0) return nullptr;
        }
      }
    });
  }
  for (int i = 0; i < kPosts; ++i) {
    sem_post(&sem_);
    if (i % 32 == 0) usleep(50);
  }
  closed = true;
  threads.clear();
  EXPECT_EQ(taken, kPosts);
}

TEST_F(Sem, DestroyedByTheOneWhoWaited) {
  // The poster must not touch the semaphore once the waiter has been let go.
  for (int i = 0; i < 500; ++i) {
    auto* sem = new sem_t;
    ASSERT_EQ(sem_init(sem, 0, 0), 0);
    Thread poster([sem] {
      sem_post(sem);
      return nullptr;
    });
    ASSERT_EQ(sem_wait(sem), 0);
    ASSERT_EQ(sem_destroy(sem), 0);
    memset(static_cast<void*>(sem), 0xaa, sizeof *sem);
    delete sem;
  }
}

sem_t* posted_by_handler;

void PostInHandler(int) {
  const int saved = errno;
  sem_post(posted_by_handler);
  errno = saved;
}

TEST_F(Sem, PostFromASignalHandler) {
  posted_by_handler = &sem_;
  struct sigaction action = {};
  struct sigaction old;
  action.sa_handler = &PostInHandler;
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  std::atomic<int> woken = 0;
  Thread waiter([&] {
    for (int i = 0; i < 50; ++i) {
      WaitOk();
      ++woken;
    }
    return nullptr;
  });
  for (int i = 0; i < 50; ++i) {
    // From this thread, from the waiting one, and from anywhere in the process.
    if (i % 3 == 0) {
      EXPECT_EQ(raise(SIGUSR1), 0);
    } else if (i % 3 == 1) {
      EXPECT_EQ(pthread_kill(waiter.id(), SIGUSR1), 0);
    } else {
      EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    }
    EXPECT_TRUE(test::Eventually([&] { return woken == i + 1; }));
  }
  waiter.Join();
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST_F(Sem, ASignalWithoutRestartInterruptsTheWait) {
  struct sigaction action = {};
  struct sigaction old;
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  std::atomic<bool> interrupted = false;
  Thread waiter([&] {
    errno = 0;
    const int result = sem_wait(&sem_);
    EXPECT_EQ(result, -1);
    EXPECT_EQ(errno, EINTR);
    interrupted = true;
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] {
    if (!interrupted) pthread_kill(waiter.id(), SIGUSR1);
    return interrupted.load();
  }));
  waiter.Join();
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

}  // namespace
