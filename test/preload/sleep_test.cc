// SPDX-License-Identifier: Apache-2.0
// Tests the sleep family and yield: at least as long as asked, errors, interruption, others run.
#include <limits.h>
#include <sched.h>
#include <sys/select.h>

#include <chrono>
#include <thread>
#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::Ms;
using test::NowNs;
using test::Thread;

// Timers may be that late, and what was left when they were not due yet is more than was asked for.
constexpr int64_t kSlack = test::kNsPerMs;

TEST(Sleep, AtLeastAsLong) {
  HereAndInAThread([] {
    int64_t begin = NowNs();
    const timespec time = Ms(5);
    EXPECT_EQ(nanosleep(&time, nullptr), 0);
    EXPECT_GE(NowNs() - begin, test::ToNs(time));
    begin = NowNs();
    EXPECT_EQ(usleep(5'000), 0);
    EXPECT_GE(NowNs() - begin, 5 * test::kNsPerMs);
    for (const clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME}) {
      begin = NowNs(clock);
      EXPECT_EQ(clock_nanosleep(clock, 0, &time, nullptr), 0);
      EXPECT_GE(NowNs(clock) - begin, test::ToNs(time));
      const timespec deadline = test::In(clock, 5);
      EXPECT_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &deadline, nullptr), 0);
      EXPECT_GE(NowNs(clock), test::ToNs(deadline));
      const timespec past = test::In(clock, -1000);
      EXPECT_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &past, nullptr), 0);
    }
    begin = NowNs();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_GE(NowNs() - begin, 5 * test::kNsPerMs);
  });
}

TEST(Sleep, Seconds) {
  HereAndInAThread([] {
    EXPECT_EQ(sleep(0), 0u);
    const int64_t begin = NowNs();
    EXPECT_EQ(sleep(1), 0u);
    EXPECT_GE(NowNs() - begin, test::kNsPerSecond);
  });
}

TEST(Sleep, Errors) {
  HereAndInAThread([] {
    for (const long nsec : {-1L, 1'000'000'000L, LONG_MAX}) {
      const timespec bad = {.tv_sec = 0, .tv_nsec = nsec};
      errno = 0;
      EXPECT_EQ(nanosleep(&bad, nullptr), -1);
      EXPECT_EQ(errno, EINVAL);
      errno = 4711;
      EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, nullptr), EINVAL);
      EXPECT_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &bad, nullptr), EINVAL);
      EXPECT_EQ(errno, 4711);  // It gives its error.
    }
    const timespec negative = {.tv_sec = -1, .tv_nsec = 0};
    errno = 0;
    EXPECT_EQ(nanosleep(&negative, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    const timespec time = Ms(1);
    EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, nullptr), EINVAL);
    EXPECT_EQ(clock_nanosleep(99, 0, &time, nullptr), EINVAL);
  });
}

TEST(Sleep, NothingAtAll) {
  HereAndInAThread([] {
    const timespec zero = {};
    EXPECT_EQ(nanosleep(&zero, nullptr), 0);
    EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &zero, nullptr), 0);
    EXPECT_EQ(usleep(0), 0);
  });
}

TEST(Sleep, ManyAtOnceSleepTogether) {
  // Two hundred sleeps of 50 ms each one after the other would take ten seconds.
  const int64_t begin = NowNs();
  std::vector<Thread> threads;
  for (int i = 0; i < 200; ++i) {
    threads.emplace_back([] {
      test::SleepMs(50);
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_GE(NowNs() - begin, 50 * test::kNsPerMs);
  EXPECT_LT(NowNs() - begin, 8 * test::kNsPerSecond);
}

TEST(Sleep, ShortOnesAreNotHeldUpByLongOnes) {
  std::atomic<bool> stop = false;
  std::vector<Thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&stop] {
      while (!stop) test::SleepMs(30);
      return nullptr;
    });
  }
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([] {
      for (int k = 0; k < 50; ++k) usleep(100);
      return nullptr;
    });
  }
  for (int i = 5; i < 10; ++i) threads[i].Join();
  stop = true;
}

TEST(Sleep, OthersRunMeanwhile) {
  std::atomic<bool> awake = false;
  std::atomic<uint64_t> rounds = 0;
  Thread worker([&] {
    while (!awake) {
      ++rounds;
      sched_yield();
    }
    return nullptr;
  });
  Thread sleeper([&] {
    test::SleepMs(30);
    awake = true;
    return nullptr;
  });
  worker.Join();
  sleeper.Join();
  EXPECT_GT(rounds, 1u);
}

void Nothing(int) {}

// Sends SIGUSR1 to `thread` until `done`.
void Pester(pthread_t thread, const std::atomic<bool>& done) {
  EXPECT_TRUE(test::Eventually([&] {
    if (!done) pthread_kill(thread, SIGUSR1);
    return done.load();
  }));
}

TEST(Sleep, InterruptedByASignalWithTheRest) {
  // SA_RESTART or not, a sleep is not restarted.
  for (const int flags : {0, SA_RESTART}) {
    struct sigaction action = {};
    struct sigaction old;
    action.sa_handler = &Nothing;
    action.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
    std::atomic<bool> done = false;
    {
      Thread sleeper([&done] {
        const timespec time = {.tv_sec = 30, .tv_nsec = 0};
        timespec left = {.tv_sec = -1, .tv_nsec = -1};
        errno = 0;
        EXPECT_EQ(nanosleep(&time, &left), -1);
        EXPECT_EQ(errno, EINTR);
        EXPECT_GE(left.tv_sec, 1);
        EXPECT_LE(test::ToNs(left), test::ToNs(time) + kSlack);
        done = true;
        return nullptr;
      });
      Pester(sleeper.id(), done);
    }
    done = false;
    {
      Thread sleeper([&done] {
        const timespec time = {.tv_sec = 30, .tv_nsec = 0};
        timespec left = {.tv_sec = -1, .tv_nsec = -1};
        EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &left), EINTR);
        EXPECT_GE(left.tv_sec, 1);
        done = true;
        return nullptr;
      });
      Pester(sleeper.id(), done);
    }
    done = false;
    {
      Thread sleeper([&done] {
        const timespec deadline = test::In(CLOCK_MONOTONIC, 30'000);
        timespec left = {.tv_sec = 7, .tv_nsec = 8};
        EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, &left), EINTR);
        EXPECT_EQ(left.tv_sec, 7);  // Untouched: the deadline is as good as ever.
        EXPECT_EQ(left.tv_nsec, 8);
        done = true;
        return nullptr;
      });
      Pester(sleeper.id(), done);
    }
    done = false;
    {
      Thread sleeper([&done] {
        EXPECT_GE(sleep(30), 1u);
        done = true;
        return nullptr;
      });
      Pester(sleeper.id(), done);
    }
    EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
  }
}

TEST(Sleep, YieldReturnsZero) {
  HereAndInAThread([] {
    for (int i = 0; i < 1'000; ++i) ASSERT_EQ(sched_yield(), 0);
    std::this_thread::yield();
  });
}

TEST(Sleep, YieldersAlternate) {
  // Two threads that only yield both get on.
  std::atomic<int> turn = 0;
  auto player = [&turn](int me) {
    for (int i = 0; i < 2'000; ++i) {
      while (turn % 2 != me) sched_yield();
      ++turn;
    }
    return nullptr;
  };
  {
    Thread ping([&] { return player(0); });
    Thread pong([&] { return player(1); });
  }
  EXPECT_EQ(turn, 4'000);
}

TEST(Sleep, PollAndSelectWithoutDescriptors) {
  // The other ways to sleep; they block in the kernel or not, others run.
  std::vector<Thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([i] {
      const int64_t begin = NowNs();
      if (i % 2 == 0) {
        timeval time = {.tv_sec = 0, .tv_usec = 10'000};
        EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &time), 0);
      } else {
        const timespec time = Ms(10);
        EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, &time, nullptr), 0);
      }
      EXPECT_GE(NowNs() - begin, 10 * test::kNsPerMs);
      return nullptr;
    });
  }
}

}  // namespace
