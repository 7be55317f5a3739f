// SPDX-License-Identifier: Apache-2.0
// Tests thousands of threads alive at once, and far more one after the other, in several shapes.
#include <sched.h>
#include <semaphore.h>

#include <deque>
#include <memory>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

constexpr int kThreads = 2'000;

TEST(Many, AliveOnOneConditionVariable) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int waiting = 0;
  int woken = 0;
  bool go = false;
  std::vector<Thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      pthread_mutex_lock(&mutex);
      ++waiting;
      while (!go) pthread_cond_wait(&cond, &mutex);
      ++woken;
      pthread_mutex_unlock(&mutex);
      return nullptr;
    });
  }
  EXPECT_TRUE(test::Eventually([&] {
    pthread_mutex_lock(&mutex);
    const bool all = waiting == kThreads;
    pthread_mutex_unlock(&mutex);
    return all;
  }));
  EXPECT_EQ(woken, 0);
  pthread_mutex_lock(&mutex);
  go = true;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  threads.clear();
  EXPECT_EQ(woken, kThreads);
}

TEST(Many, ChainOfSemaphores) {
  // Each wakes the next: a wave through all of them, there and back.
  auto sems = std::make_unique<sem_t[]>(kThreads + 1);
  for (int i = 0; i <= kThreads; ++i) ASSERT_EQ(sem_init(&sems[i], 0, 0), 0);
  int passed = 0;
  std::vector<Thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      while (sem_wait(&sems[i]) != 0) {
      }
      EXPECT_EQ(passed++, i);
      sem_post(&sems[i + 1]);
      return nullptr;
    });
  }
  sem_post(&sems[0]);
  while (sem_wait(&sems[kThreads]) != 0) {
  }
  EXPECT_EQ(passed, kThreads);
}

TEST(Many, AllSleepAtOnce) {
  std::atomic<int> awake = 0;
  std::vector<Thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&awake, i] {
      test::SleepMs(20 + i % 30);
      ++awake;
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(awake, kThreads);
}

TEST(Many, AllTakeOneMutexInTurn) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int64_t counter = 0;
  std::vector<Thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k) {
        pthread_mutex_lock(&mutex);
        ++counter;
        pthread_mutex_unlock(&mutex);
        if (k == 2) sched_yield();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, int64_t{kThreads} * 5);
}

TEST(Many, OneAfterTheOther) {
  int64_t sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, nullptr,
                  [](void* s) -> void* {
                    ++*static_cast<int64_t*>(s);
                    return nullptr;
                  },
                  &sum),
              0);
    ASSERT_EQ(pthread_join(thread, nullptr), 0);
  }
  EXPECT_EQ(sum, 10'000);
}

TEST(Many, DetachedOnesComeAndGo) {
  static std::atomic<int> alive;
  static std::atomic<int> total;
  alive = total = 0;
  for (int i = 0; i < 3'000; ++i) {
    while (alive > 200) usleep(50);
    ++alive;
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, nullptr,
                  [](void*) -> void* {
                    ++total;
                    --alive;
                    return nullptr;
                  },
                  nullptr),
              0);
    ASSERT_EQ(pthread_detach(thread), 0);
  }
  EXPECT_TRUE(test::Eventually([] { return alive == 0; }));
  EXPECT_EQ(total, 3'000);
}

TEST(Many, WavesThatGrowAndShrink) {
  for (const int size : {1, 500, 10, 1'000, 2, 300}) {
    std::atomic<int> ran = 0;
    Gate gate;
    std::vector<Thread> threads;
    threads.reserve(size);
    for (int i = 0; i < size; ++i) {
      threads.emplace_back([&] {
        gate.Wait();
        ++ran;
        return nullptr;
      });
    }
    EXPECT_EQ(ran, 0);
    gate.Open();
    threads.clear();
    EXPECT_EQ(ran, size);
  }
}

TEST(Many, PoolOfWorkers) {
  // The usual shape: a queue, a few workers, many small tasks that make more tasks.
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  std::deque<int> queue{16};
  int unfinished = 1;
  int64_t leaves = 0;
  std::vector<Thread> workers;
  for (int w = 0; w < 8; ++w) {
    workers.emplace_back([&]() -> void* {
      for (;;) {
        pthread_mutex_lock(&mutex);
        while (queue.empty() && unfinished > 0) pthread_cond_wait(&cond, &mutex);
        if (queue.empty()) {
          pthread_mutex_unlock(&mutex);
          return nullptr;
        }
        const int task = queue.front();
        queue.pop_front();
        pthread_mutex_unlock(&mutex);
        if (task % 3 == 0) sched_yield();
        pthread_mutex_lock(&mutex);
        if (task > 3) {
          queue.push_back(task - 1);
          queue.push_back(task - 2);
          unfinished += 2;
        } else {
          ++leaves;
        }
        if (--unfinished == 0) {
          pthread_cond_broadcast(&cond);
        } else {
          pthread_cond_signal(&cond);
        }
        pthread_mutex_unlock(&mutex);
      }
    });
  }
  workers.clear();
  int64_t expected[17] = {1, 1, 1, 1};
  for (int i = 4; i <= 16; ++i) expected[i] = expected[i - 1] + expected[i - 2];
  EXPECT_EQ(leaves, expected[16]);
}

}  // namespace
