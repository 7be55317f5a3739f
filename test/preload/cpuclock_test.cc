// SPDX-License-Identifier: Apache-2.0
// Tests that a thread's CPU clock counts that thread, whatever else its kernel thread runs.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "signals.h"
#include "util.h"

namespace {

using test::kNsPerMs;
using test::Thread;

int64_t Read(clockid_t clock) {
  timespec now;
  EXPECT_EQ(clock_gettime(clock, &now), 0);
  return test::ToNs(now);
}

int64_t Mine() {
  return Read(CLOCK_THREAD_CPUTIME_ID);
}

int64_t MyUsage() {
  rusage usage;
  EXPECT_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
  return ((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
          usage.ru_stime.tv_usec) *
         1000;
}

clockid_t ClockOf(pthread_t thread) {
  clockid_t clock = -1;
  EXPECT_EQ(pthread_getcpuclockid(thread, &clock), 0);
  return clock;
}

// Of the thread's own CPU time.
void Burn(int64_t ns, bool yields) {
  const int64_t end = Mine() + ns;
  while (Mine() < end) {
    volatile int sink = 0;
    for (int i = 0; i < 1000; ++i) sink = sink + i;
    if (yields) sched_yield();
  }
}

thread_local std::atomic<int> t_ticks{0};

// Sends the calling thread a signal whenever the clock has gone on by 2 ms, while `during` runs. How many it had.
int Ticks(clockid_t clock, const std::function<void()>& during) {
  const itimerspec often = {{0, 2'000'000}, {0, 2'000'000}};
  sigevent to_me = {};
  timer_t timer;
  to_me.sigev_notify = SIGEV_THREAD_ID;
  to_me.sigev_signo = SIGRTMIN;
  to_me._sigev_un._tid = gettid();
  t_ticks = 0;
  EXPECT_EQ(timer_create(clock, &to_me, &timer), 0);
  EXPECT_EQ(timer_settime(timer, 0, &often, nullptr), 0);
  during();
  EXPECT_EQ(timer_delete(timer), 0);
  return t_ticks;
}

TEST(CpuClock, TimersAreTheThreads) {
  test::Handler handler(SIGRTMIN, [](int) { ++t_ticks; });
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 8; ++i)
    threads.push_back(std::make_unique<Thread>([i] {
      const clockid_t mine = i % 4 < 2 ? CLOCK_THREAD_CPUTIME_ID : ClockOf(pthread_self());
      if (i % 2 == 0) {
        // The kernel looks at such timers when its own clock ticks, and need not find a thread that yields at it.
        EXPECT_GT(Ticks(mine,
                        [] {
                          while (t_ticks == 0) Burn(10 * kNsPerMs, true);
                        }),
                  0);
      } else {
        EXPECT_EQ(Ticks(mine, [] { test::SleepMs(50); }), 0);
      }
      EXPECT_TRUE(Ticks(CLOCK_MONOTONIC, [] { EXPECT_TRUE(test::Eventually([] { return t_ticks >= 3; })); }) >= 3);
      return nullptr;
    }));
}

TEST(CpuClock, GoesOnWithWork) {
  test::HereAndInAThread([] {
    const clockid_t clock = ClockOf(pthread_self());
    const int64_t before = Read(clock), mine = Mine();
    Burn(3 * kNsPerMs, false);
    EXPECT_GE(Read(clock) - before, 3 * kNsPerMs);
    EXPECT_GE(Mine() - mine, 3 * kNsPerMs);
    timespec resolution{};
    EXPECT_EQ(clock_getres(clock, &resolution), 0);
    EXPECT_GT(test::ToNs(resolution), 0);
  });
}

TEST(CpuClock, StandsWhileOthersWork) {
  test::Gate start, stop;
  std::atomic<int64_t> slept{-1};
  Thread sleeper([&] {
    const int64_t before = Mine();
    start.Open();
    stop.Wait();
    slept = Mine() - before;
    return nullptr;
  });
  start.Wait();
  const clockid_t clock = ClockOf(sleeper.id());
  const int64_t before = Read(clock);
  Thread([] {
    Burn(60 * kNsPerMs, true);
    return nullptr;
  });
  EXPECT_LT(Read(clock) - before, 30 * kNsPerMs);
  stop.Open();
  sleeper.Join();
  EXPECT_LT(slept, 30 * kNsPerMs);
}

TEST(CpuClock, OfManyIsTogetherTheProcesss) {
  constexpr int kThreads = 8;
  Mine();
  const int64_t process = Read(CLOCK_PROCESS_CPUTIME_ID);
  std::atomic<int64_t> sum{0}, usage{0};
  {
    std::vector<Thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        const int64_t before = Mine(), used = MyUsage();
        Burn(10 * kNsPerMs, true);
        sum += Mine() - before;
        usage += MyUsage() - used;
        return nullptr;
      });
    }
  }
  const int64_t all = Read(CLOCK_PROCESS_CPUTIME_ID) - process;
  EXPECT_GE(sum, kThreads * 10 * kNsPerMs);
  EXPECT_LE(sum, all);
  EXPECT_LE(usage, all + kThreads * 10 * kNsPerMs);  // by ticks, on some kernels
  EXPECT_GE(usage, kThreads * 5 * kNsPerMs);
}

TEST(CpuClock, OfAThreadAtWork) {
  std::atomic<bool> stop{false};
  Thread worker([&] {
    Mine();
    while (!stop) {
    }
    return nullptr;
  });
  const clockid_t clock = ClockOf(worker.id());
  const int64_t before = Read(clock);
  EXPECT_TRUE(test::Eventually([&] { return Read(clock) - before > 20 * kNsPerMs; }));
  int64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    const int64_t now = Read(clock);
    EXPECT_GE(now, last);
    last = now;
  }
  stop = true;
}

TEST(CpuClock, OfMainGoesOnWhenThreadsAreMade) {
  EXPECT_TRUE(test::Exited(test::RunChild([] {
                             Burn(5 * kNsPerMs, false);
                             const int64_t before = Mine();
                             Thread([] { return nullptr; });
                             CHILD_CHECK(Mine() >= before);
                             CHILD_CHECK(Mine() < before + 1000 * kNsPerMs);
                             return 0;
                           }),
                           0));
}

TEST(CpuClock, OfAForkedChildBeginsAnew) {
  Thread([] {
    Burn(50 * kNsPerMs, false);
    EXPECT_TRUE(test::Exited(test::RunChild([] {
                               CHILD_CHECK(Mine() < 50 * kNsPerMs);
                               return 0;
                             }),
                             0));
    return nullptr;
  });
}

TEST(CpuClock, OfAThreadThatHasEnded) {
  Thread thread([] { return nullptr; });
  const clockid_t clock = ClockOf(pthread_self());
  EXPECT_GE(Read(clock), 0);
  EXPECT_TRUE(test::Eventually([&] {
    clockid_t ended;
    return pthread_getcpuclockid(thread.id(), &ended) == ESRCH;
  }));
}

}  // namespace
