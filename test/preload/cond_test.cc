// SPDX-License-Identifier: Apache-2.0
// Tests condition variables: signal, broadcast, destroy, lost wake-ups.
#include <sched.h>
#include <string.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "monitor.h"
#include "util.h"

namespace {

using test::HereAndInAThread;
using test::In;
using test::Monitor;
using test::Thread;

TEST(Cond, PingPong) {
  Monitor monitor;
  constexpr int kRounds = 5'000;
  int turn = 0;
  auto player = [&](int me) {
    for (int i = 0; i < kRounds; ++i) {
      monitor.Lock();
      while (turn % 2 != me) monitor.Wait();
      ++turn;
      monitor.Signal();
      monitor.Unlock();
    }
    return nullptr;
  };
  {
    Thread ping([&] { return player(0); });
    Thread pong([&] { return player(1); });
  }
  EXPECT_EQ(turn, 2 * kRounds);
}

TEST(Cond, RingOfThreads) {
  constexpr int kThreads = 20;
  Monitor monitor;
  int turn = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        monitor.Lock();
        while (turn % kThreads != t) monitor.Wait();
        ++turn;
        monitor.Broadcast();
        monitor.Unlock();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(turn, kThreads * 20);
}

TEST(Cond, WaitHoldsTheMutexAgain) {
  // Between wake-up and unlock nobody else is inside.
  Monitor monitor;
  int inside = 0;
  int tickets = 0;
  int woken = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 50; ++t) {
    threads.emplace_back([&] {
      monitor.Lock();
      while (tickets == 0) {
        monitor.Wait();
        EXPECT_EQ(inside, 0);
      }
      ++inside;
      EXPECT_EQ(pthread_mutex_trylock(&monitor.mutex), EBUSY);
      sched_yield();
      --tickets;
      ++woken;
      --inside;
      monitor.Unlock();
      return nullptr;
    });
  }
  test::LetThemWait();
  monitor.Lock();
  tickets = 50;
  monitor.Broadcast();
  monitor.Unlock();
  threads.clear();
  EXPECT_EQ(woken, 50);
  EXPECT_EQ(tickets, 0);
}

TEST(Cond, EverySignalIsWorthOneWaiter) {
  // As many signals as waiters, each sent with a waiter there, wake them all.
  Monitor monitor;
  constexpr int kThreads = 30;
  int waiting = 0;
  int tokens = 0;
  int done = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      monitor.Lock();
      ++waiting;
      while (tokens == 0) monitor.Wait();
      --tokens;
      ++done;
      monitor.Unlock();
      return nullptr;
    });
  }
  EXPECT_TRUE(test::Eventually([&] {
    monitor.Lock();
    const bool all = waiting == kThreads;
    monitor.Unlock();
    return all;
  }));
  for (int i = 1; i <= kThreads; ++i) {
    monitor.Lock();
    ++tokens;
    monitor.Signal();
    monitor.Unlock();
    EXPECT_TRUE(test::Eventually([&] {
      monitor.Lock();
      const bool taken = done == i && tokens == 0;
      monitor.Unlock();
      return taken;
    }));
  }
  threads.clear();
  EXPECT_EQ(done, kThreads);
}

TEST(Cond, SignalWithoutTheMutexHeld) {
  Monitor monitor;
  constexpr int kRounds = 2'000;
  int produced = 0;
  int consumed = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        monitor.Lock();
        while (produced == consumed && consumed < kRounds) monitor.Wait();
        if (consumed == kRounds) {
          monitor.Unlock();
          return nullptr;
        }
        ++consumed;
        const bool last = consumed == kRounds;
        monitor.Unlock();
        if (last) monitor.Broadcast();
      }
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    monitor.Lock();
    ++produced;
    monitor.Unlock();
    monitor.Signal();
  }
  threads.clear();
  EXPECT_EQ(consumed, kRounds);
}

TEST(Cond, SignalsWithNobodyThereAreNotStored) {
  HereAndInAThread([&] {
    Monitor monitor(CLOCK_MONOTONIC);
    for (int i = 0; i < 10; ++i) {
      monitor.Signal();
      monitor.Broadcast();
    }
    monitor.Lock();
    const timespec deadline = In(CLOCK_MONOTONIC, 20);
    EXPECT_EQ(pthread_cond_timedwait(&monitor.cond, &monitor.mutex, &deadline), ETIMEDOUT);
    monitor.Unlock();
  });
}

TEST(Cond, WrongMutexOwnerIsReported) {
  HereAndInAThread([&] {
    pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    EXPECT_EQ(pthread_cond_wait(&cond, &mutex), EPERM);
    const timespec later = In(CLOCK_REALTIME, 1000);
    EXPECT_EQ(pthread_cond_timedwait(&cond, &mutex, &later), EPERM);
    EXPECT_EQ(pthread_cond_destroy(&cond), 0);
  });
}

TEST(Cond, MutexOfEveryKind) {
  for (const int kind :
       {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP}) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, kind);
    pthread_mutex_t mutex;
    ASSERT_EQ(pthread_mutex_init(&mutex, &attr), 0);
    pthread_mutexattr_destroy(&attr);
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    int turn = 0;
    auto player = [&](int me) {
      for (int i = 0; i < 300; ++i) {
        pthread_mutex_lock(&mutex);
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
    EXPECT_EQ(turn, 600);
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
    EXPECT_EQ(pthread_cond_destroy(&cond), 0);
  }
}

TEST(Cond, DestroyRightAfterBroadcast) {
  // POSIX allows it; destroy waits for those that are on their way out.
  for (int round = 0; round < 100; ++round) {
    auto* cond = new pthread_cond_t;
    ASSERT_EQ(pthread_cond_init(cond, nullptr), 0);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    int waiting = 0;
    bool go = false;
    std::vector<Thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, cond] {
        pthread_mutex_lock(&mutex);
        ++waiting;
        if (!go) {
          EXPECT_EQ(pthread_cond_wait(cond, &mutex), 0);
        }
        pthread_mutex_unlock(&mutex);
        return nullptr;
      });
    }
    for (bool all = false; !all;) {
      sched_yield();
      pthread_mutex_lock(&mutex);
      all = waiting == 4;
      if (all) {
        go = true;
        EXPECT_EQ(pthread_cond_broadcast(cond), 0);
        EXPECT_EQ(pthread_cond_destroy(cond), 0);
        memset(static_cast<void*>(cond), 0xaa, sizeof *cond);
        delete cond;
      }
      pthread_mutex_unlock(&mutex);
    }
  }
}

TEST(Cond, ReusedForAnotherMutex) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  for (int i = 0; i < 50; ++i) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    bool ready = false;
    Thread waiter([&] {
      pthread_mutex_lock(&mutex);
      while (!ready) pthread_cond_wait(&cond, &mutex);
      pthread_mutex_unlock(&mutex);
      return nullptr;
    });
    pthread_mutex_lock(&mutex);
    ready = true;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
  }
  EXPECT_EQ(pthread_cond_destroy(&cond), 0);
}

TEST(Cond, BoundedQueueLosesNothing) {
  Monitor monitor;
  pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
  std::deque<int> queue;
  constexpr int kItems = 2'000;
  constexpr int kProducers = 4;
  std::atomic<int64_t> sum = 0;
  std::atomic<int> taken = 0;
  {
    std::vector<Thread> threads;
    for (int p = 0; p < kProducers; ++p) {
      threads.emplace_back([&] {
        for (int i = 1; i <= kItems; ++i) {
          monitor.Lock();
          while (queue.size() >= 3) pthread_cond_wait(&not_full, &monitor.mutex);
          queue.push_back(i);
          monitor.Signal();
          monitor.Unlock();
        }
        return nullptr;
      });
    }
    for (int c = 0; c < 4; ++c) {
      threads.emplace_back([&] {
        for (int i = 0; i < kItems * kProducers / 4; ++i) {
          monitor.Lock();
          while (queue.empty()) monitor.Wait();
          sum += queue.front();
          ++taken;
          queue.pop_front();
          EXPECT_EQ(pthread_cond_signal(&not_full), 0);
          monitor.Unlock();
        }
        return nullptr;
      });
    }
  }
  EXPECT_EQ(taken, kItems * kProducers);
  EXPECT_EQ(sum, int64_t{kProducers} * kItems * (kItems + 1) / 2);
  EXPECT_TRUE(queue.empty());
}

TEST(Cond, StaticInitialiser) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int count = 0;
  Thread thread([&] {
    pthread_mutex_lock(&mutex);
    ++count;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    return nullptr;
  });
  pthread_mutex_lock(&mutex);
  while (count == 0) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  thread.Join();
  EXPECT_EQ(pthread_cond_destroy(&cond), 0);
}

TEST(Cond, Attributes) {
  HereAndInAThread([&] {
    pthread_condattr_t attr;
    ASSERT_EQ(pthread_condattr_init(&attr), 0);
    clockid_t clock = -1;
    EXPECT_EQ(pthread_condattr_getclock(&attr, &clock), 0);
    EXPECT_EQ(clock, CLOCK_REALTIME);
    EXPECT_EQ(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), 0);
    EXPECT_EQ(pthread_condattr_getclock(&attr, &clock), 0);
    EXPECT_EQ(clock, CLOCK_MONOTONIC);
    EXPECT_EQ(pthread_condattr_setclock(&attr, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
    int pshared = -1;
    EXPECT_EQ(pthread_condattr_getpshared(&attr, &pshared), 0);
    EXPECT_EQ(pshared, PTHREAD_PROCESS_PRIVATE);
    EXPECT_EQ(pthread_condattr_setpshared(&attr, 7), EINVAL);
    EXPECT_EQ(pthread_condattr_destroy(&attr), 0);
  });
}

TEST(Cond, StandardConditionVariable) {
  std::mutex mutex;
  std::condition_variable cond;
  std::condition_variable_any any;
  int stage = 0;
  Thread thread([&] {
    std::unique_lock lock(mutex);
    cond.wait(lock, [&] { return stage == 1; });
    stage = 2;
    any.notify_all();
    EXPECT_TRUE(cond.wait_for(lock, std::chrono::seconds(20), [&] { return stage == 3; }));
    return nullptr;
  });
  {
    std::unique_lock lock(mutex);
    EXPECT_EQ(cond.wait_for(lock, std::chrono::milliseconds(5)), std::cv_status::timeout);
    EXPECT_EQ(cond.wait_until(lock, std::chrono::system_clock::now() + std::chrono::milliseconds(5)),
              std::cv_status::timeout);
    stage = 1;
    cond.notify_one();
    any.wait(lock, [&] { return stage == 2; });
    stage = 3;
    cond.notify_one();
  }
  thread.Join();
}

}  // namespace
