// SPDX-License-Identifier: Apache-2.0
// Tests timed waits on condition variables, on both clocks.
#include <limits.h>

#include <vector>

#include "monitor.h"
#include "util.h"

namespace {

using test::HereAndInAThread;
using test::In;
using test::Monitor;
using test::NowNs;
using test::Thread;

TEST(Cond, TimedWaitOnItsClock) {
  HereAndInAThread([&] {
    for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      Monitor monitor(clock);
      monitor.Lock();
      timespec deadline = In(clock, 20);
      EXPECT_EQ(pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline), ETIMEDOUT);
      EXPECT_GE(NowNs(clock), test::ToNs(deadline));
      EXPECT_EQ(pthread_mutex_trylock(&monitor.mutex), EBUSY);
      deadline = In(clock, -1000);
      EXPECT_EQ(pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline), ETIMEDOUT);
      deadline = {.tv_sec = 0, .tv_nsec = 0};
      EXPECT_EQ(pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline), ETIMEDOUT);
      deadline = {.tv_sec = -1, .tv_nsec = 0};
      EXPECT_EQ(pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline), ETIMEDOUT);
      monitor.Unlock();
    }
  });
}

TEST(Cond, ClockWaitIgnoresTheAttribute) {
  HereAndInAThread([&] {
    for (const clockid_t made_with : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
      for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
        Monitor monitor(made_with);
        monitor.Lock();
        const timespec deadline = In(clock, 10);
        EXPECT_EQ(pthread_cond_clockwait(&monitor.cond, &monitor.mutex, clock, &deadline), ETIMEDOUT);
        EXPECT_GE(NowNs(clock), test::ToNs(deadline));
        monitor.Unlock();
      }
    }
  });
}

TEST(Cond, BadTimesAndClocks) {
  HereAndInAThread([&] {
    Monitor monitor;
    monitor.Lock();
    for (const long nsec : {-1L, 1'000'000'000L, LONG_MAX, LONG_MIN}) {
      timespec bad = In(CLOCK_REALTIME, 10'000);
      bad.tv_nsec = nsec;
      EXPECT_EQ(pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &bad), EINVAL);
      EXPECT_EQ(pthread_cond_clockwait(&monitor.cond, &monitor.mutex, CLOCK_MONOTONIC, &bad), EINVAL);
    }
    const timespec soon = In(CLOCK_MONOTONIC, 10);
    EXPECT_EQ(pthread_cond_clockwait(&monitor.cond, &monitor.mutex, CLOCK_PROCESS_CPUTIME_ID, &soon), EINVAL);
    EXPECT_EQ(pthread_mutex_trylock(&monitor.mutex), EBUSY);
    monitor.Unlock();
  });
}

TEST(Cond, TimedWaitIsSignalled) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
    Monitor monitor(clock);
    bool flag = false;
    Thread waiter([&] {
      const timespec deadline = In(clock, 20'000);
      monitor.Lock();
      int error = 0;
      while (!flag && error == 0) {
        error = pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline);
      }
      EXPECT_EQ(error, 0);
      EXPECT_TRUE(flag);
      monitor.Unlock();
      return nullptr;
    });
    test::LetThemWait();
    monitor.Lock();
    flag = true;
    monitor.Signal();
    monitor.Unlock();
    waiter.Join();
  }
}

TEST(Cond, TimeoutsAndSignalsTogetherLoseNothing) {
  // Consumers wait with short deadlines while signals fly: every token is consumed exactly once.
  Monitor monitor(CLOCK_MONOTONIC);
  constexpr int kTokens = 1'500;
  int tokens = 0;
  int consumed = 0;
  bool closed = false;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      monitor.Lock();
      while (!closed || tokens > 0) {
        if (tokens > 0) {
          --tokens;
          ++consumed;
          continue;
        }
        const timespec deadline = test::FromNs(NowNs() + (t + 1) * 50'000);
        const int error = pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline);
        EXPECT_TRUE(error == 0 || error == ETIMEDOUT) << error;
      }
      monitor.Unlock();
      return nullptr;
    });
  }
  for (int i = 0; i < kTokens; ++i) {
    monitor.Lock();
    ++tokens;
    monitor.Unlock();
    monitor.Signal();
    if (i % 32 == 0) usleep(60);
  }
  monitor.Lock();
  closed = true;
  monitor.Broadcast();
  monitor.Unlock();
  threads.clear();
  EXPECT_EQ(consumed, kTokens);
}

}  // namespace
