// SPDX-License-Identifier: Apache-2.0
// Tests pthread_once, std::call_once and function statics: one run, everyone waits, retries.
#include <sched.h>

#include <mutex>
#include <stdexcept>
#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::Thread;

std::atomic<int> runs;
std::atomic<bool> finished;

class Once : public testing::Test {
 protected:
  void SetUp() override {
    runs = 0;
    finished = false;
  }
};

TEST_F(Once, RunsOnce) {
  HereAndInAThread([&] {
    SetUp();
    pthread_once_t once = PTHREAD_ONCE_INIT;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(pthread_once(&once, [] { ++runs; }), 0);
    EXPECT_EQ(runs, 1);
  });
}

TEST_F(Once, RacersWaitForTheEnd) {
  for (int round = 0; round < 20; ++round) {
    SetUp();
    pthread_once_t once = PTHREAD_ONCE_INIT;
    std::vector<Thread> threads;
    for (int t = 0; t < 20; ++t) {
      threads.emplace_back([&once] {
        EXPECT_EQ(pthread_once(&once,
                               [] {
                                 ++runs;
                                 test::SleepMs(1);
                                 sched_yield();
                                 finished = true;
                               }),
                  0);
        EXPECT_TRUE(finished);
        return nullptr;
      });
    }
    threads.clear();
    EXPECT_EQ(runs, 1);
  }
}

pthread_once_t outer_once = PTHREAD_ONCE_INIT;
pthread_once_t inner_once = PTHREAD_ONCE_INIT;

TEST_F(Once, AnotherOnceInside) {
  std::vector<Thread> threads;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([] {
      EXPECT_EQ(pthread_once(&outer_once,
                             [] {
                               EXPECT_EQ(pthread_once(&inner_once,
                                                      [] {
                                                        test::SleepMs(2);
                                                        ++runs;
                                                      }),
                                         0);
                               EXPECT_EQ(runs, 1);
                               runs += 10;
                             }),
                0);
      EXPECT_EQ(runs, 11);
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(runs, 11);
}

TEST_F(Once, ThreadsInsideTheRoutine) {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  EXPECT_EQ(pthread_once(&once,
                         [] {
                           Thread thread([] {
                             ++runs;
                             return nullptr;
                           });
                         }),
            0);
  EXPECT_EQ(runs, 1);
}

TEST_F(Once, RoutineThatThrowsIsRunAgain) {
  HereAndInAThread([&] {
    SetUp();
    pthread_once_t once = PTHREAD_ONCE_INIT;
    for (int i = 1; i <= 3; ++i) {
      EXPECT_THROW(pthread_once(&once,
                                [] {
                                  ++runs;
                                  throw std::runtime_error("not yet");
                                }),
                   std::runtime_error);
      EXPECT_EQ(runs, i);
    }
    EXPECT_EQ(pthread_once(&once, [] { ++runs; }), 0);
    EXPECT_EQ(runs, 4);
    EXPECT_EQ(pthread_once(&once, [] { ++runs; }), 0);
    EXPECT_EQ(runs, 4);
  });
}

TEST_F(Once, RoutineThatThrowsLetsAWaiterRunIt) {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  std::atomic<int> thrown = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      try {
        pthread_once(&once, [] {
          test::SleepMs(1);
          if (++runs < 4) throw 1;
        });
      } catch (int) {
        ++thrown;
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(thrown, 3);
}

TEST_F(Once, RoutineThatExitsTheThreadIsRunAgain) {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  Thread([&once]() -> void* {
    pthread_once(&once, [] {
      ++runs;
      pthread_exit(nullptr);
    });
    ADD_FAILURE() << "pthread_exit came back";
    return nullptr;
  });
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(pthread_once(&once, [] { ++runs; }), 0);
  EXPECT_EQ(runs, 2);
}

TEST_F(Once, CancelledRoutineIsRunAgain) {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  Thread thread([&once]() -> void* {
    pthread_once(&once, [] {
      ++runs;
      for (;;) sleep(10);
    });
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([] { return runs == 1; }));
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(pthread_once(&once, [] { ++runs; }), 0);
  EXPECT_EQ(runs, 2);
}

TEST_F(Once, StandardCallOnce) {
  std::once_flag flag;
  std::atomic<int> thrown = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 10; ++t) {
    threads.emplace_back([&] {
      try {
        std::call_once(flag, [&] {
          sched_yield();
          if (++runs <= 3) throw std::runtime_error("again");
          finished = true;
        });
        EXPECT_TRUE(finished);
      } catch (const std::runtime_error&) {
        ++thrown;
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(thrown, 3);
}

int SlowStatic() {
  static const int value = [] {
    test::SleepMs(2);
    ++runs;
    return 42;
  }();
  return value;
}

int ThrowingStatic() {
  static const int value = [] {
    if (++runs < 3) throw std::runtime_error("again");
    return 43;
  }();
  return value;
}

TEST_F(Once, FunctionStatics) {
  std::vector<Thread> threads;
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([] {
      EXPECT_EQ(SlowStatic(), 42);
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(runs, 1);
  runs = 0;
  EXPECT_THROW(ThrowingStatic(), std::runtime_error);
  EXPECT_THROW(ThrowingStatic(), std::runtime_error);
  EXPECT_EQ(ThrowingStatic(), 43);
  EXPECT_EQ(runs, 3);
}

TEST_F(Once, ManyDifferentOncesAtOnce) {
  constexpr int kOnces = 100;
  static pthread_once_t onces[kOnces];
  std::vector<Thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([] {
      for (auto& once : onces) EXPECT_EQ(pthread_once(&once, [] { ++runs; }), 0);
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(runs, kOnces);
}

}  // namespace
