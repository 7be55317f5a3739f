// SPDX-License-Identifier: Apache-2.0
// Tests C11 threads, with return codes of their own: thrd_*, mtx_*, cnd_*, tss_*, call_once.
#include <sched.h>
#include <threads.h>

#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::In;

int Echo(void* argument) {
  return static_cast<int>(reinterpret_cast<intptr_t>(argument));
}

thrd_t Start(thrd_start_t body, void* argument = nullptr) {
  thrd_t thread{};
  EXPECT_EQ(thrd_create(&thread, body, argument), thrd_success);
  return thread;
}

int Join(thrd_t thread) {
  int result = 0;
  EXPECT_EQ(thrd_join(thread, &result), thrd_success);
  return result;
}

TEST(C11Thread, JoinGivesTheInt) {
  for (const intptr_t value : {intptr_t{0}, intptr_t{1}, intptr_t{-1}, intptr_t{INT32_MIN}}) {
    EXPECT_EQ(Join(Start(&Echo, reinterpret_cast<void*>(value))), static_cast<int>(value));
  }
  EXPECT_EQ(thrd_join(Start(&Echo), nullptr), thrd_success);
}

TEST(C11Thread, Exit) {
  EXPECT_EQ(Join(Start([](void*) -> int { thrd_exit(-17); })), -17);
}

TEST(C11Thread, CurrentAndEqual) {
  static std::atomic<thrd_t> seen;
  const thrd_t thread = Start([](void*) {
    seen = thrd_current();
    return thrd_equal(thrd_current(), pthread_self()) != 0 ? 1 : 2;
  });
  EXPECT_EQ(Join(thread), 1);
  EXPECT_TRUE(thrd_equal(thread, seen));
  EXPECT_FALSE(thrd_equal(thread, thrd_current()));
}

TEST(C11Thread, Detach) {
  static std::atomic<int> ended;
  ended = 0;
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(thrd_detach(Start([](void*) {
                thrd_yield();
                return ++ended;
              })),
              thrd_success);
  }
  EXPECT_TRUE(test::Eventually([] { return ended == 30; }));
}

TEST(C11Thread, JoinOfOneselfIsAnError) {
  HereAndInAThread([] { EXPECT_EQ(thrd_join(thrd_current(), nullptr), thrd_error); });
}

TEST(C11Thread, Sleep) {
  HereAndInAThread([] {
    const timespec time = test::Ms(5);
    timespec left;
    const int64_t begin = test::NowNs();
    EXPECT_EQ(thrd_sleep(&time, &left), 0);
    EXPECT_GE(test::NowNs() - begin, test::ToNs(time));
    const timespec bad = {.tv_sec = 0, .tv_nsec = -1};
    EXPECT_EQ(thrd_sleep(&bad, nullptr), -2);
  });
}

TEST(C11Thread, MixesWithPosix) {
  // A C11 thread joined by POSIX and the other way round: glibc's are the same thing.
  void* result = nullptr;
  EXPECT_EQ(pthread_join(Start(&Echo, reinterpret_cast<void*>(9)), &result), 0);
  EXPECT_EQ(static_cast<int>(reinterpret_cast<intptr_t>(result)), 9);
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr, [](void* p) { return p; }, reinterpret_cast<void*>(10)),
            0);
  EXPECT_EQ(Join(thread), 10);
}

class C11Mutex : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Kinds, C11Mutex,
                         testing::Values(+mtx_plain, +mtx_timed, mtx_plain | mtx_recursive, mtx_timed | mtx_recursive));

TEST_P(C11Mutex, Excludes) {
  struct Shared {
    mtx_t mutex;
    int64_t counter = 0;
  } shared;
  ASSERT_EQ(mtx_init(&shared.mutex, GetParam()), thrd_success);
  std::vector<thrd_t> threads;
  for (int t = 0; t < 6; ++t) {
    threads.push_back(Start(
        [](void* argument) {
          auto* s = static_cast<Shared*>(argument);
          for (int i = 0; i < 1'000; ++i) {
            EXPECT_EQ(mtx_lock(&s->mutex), thrd_success);
            ++s->counter;
            if (i % 100 == 0) thrd_yield();
            EXPECT_EQ(mtx_unlock(&s->mutex), thrd_success);
          }
          return 0;
        },
        &shared));
  }
  for (const thrd_t thread : threads) EXPECT_EQ(Join(thread), 0);
  EXPECT_EQ(shared.counter, 6'000);
  mtx_destroy(&shared.mutex);
}

TEST_P(C11Mutex, BusyTimedAndRecursive) {
  mtx_t mutex;
  ASSERT_EQ(mtx_init(&mutex, GetParam()), thrd_success);
  EXPECT_EQ(mtx_trylock(&mutex), thrd_success);
  if ((GetParam() & mtx_recursive) != 0) {
    EXPECT_EQ(mtx_lock(&mutex), thrd_success);
    EXPECT_EQ(mtx_unlock(&mutex), thrd_success);
  } else {
    EXPECT_EQ(mtx_trylock(&mutex), thrd_busy);
  }
  EXPECT_EQ(Join(Start(
                [](void* argument) {
                  auto* m = static_cast<mtx_t*>(argument);
                  EXPECT_EQ(mtx_trylock(m), thrd_busy);
                  const timespec deadline = In(CLOCK_REALTIME, 10);
                  EXPECT_EQ(mtx_timedlock(m, &deadline), thrd_timedout);
                  EXPECT_GE(test::NowNs(CLOCK_REALTIME), test::ToNs(deadline));
                  timespec bad = In(CLOCK_REALTIME, 1000);
                  bad.tv_nsec = -1;
                  EXPECT_EQ(mtx_timedlock(m, &bad), thrd_error);
                  return 3;
                },
                &mutex)),
            3);
  EXPECT_EQ(mtx_unlock(&mutex), thrd_success);
  mtx_destroy(&mutex);
}

struct Table {
  mtx_t mutex;
  cnd_t cond;
  int turn = 0;
  int woken = 0;
};

TEST(C11Cond, PingPong) {
  Table table;
  ASSERT_EQ(mtx_init(&table.mutex, mtx_plain), thrd_success);
  ASSERT_EQ(cnd_init(&table.cond), thrd_success);
  auto play = [](Table* t, int me) {
    for (int i = 0; i < 500; ++i) {
      EXPECT_EQ(mtx_lock(&t->mutex), thrd_success);
      while (t->turn % 2 != me) EXPECT_EQ(cnd_wait(&t->cond, &t->mutex), thrd_success);
      ++t->turn;
      EXPECT_EQ(cnd_signal(&t->cond), thrd_success);
      EXPECT_EQ(mtx_unlock(&t->mutex), thrd_success);
    }
  };
  static decltype(play)* player;
  player = &play;
  const thrd_t other = Start(
      [](void* argument) {
        (*player)(static_cast<Table*>(argument), 1);
        return 0;
      },
      &table);
  play(&table, 0);
  EXPECT_EQ(Join(other), 0);
  EXPECT_EQ(table.turn, 1'000);
  cnd_destroy(&table.cond);
  mtx_destroy(&table.mutex);
}

TEST(C11Cond, BroadcastAndTimeout) {
  Table table;
  ASSERT_EQ(mtx_init(&table.mutex, mtx_plain), thrd_success);
  ASSERT_EQ(cnd_init(&table.cond), thrd_success);
  std::vector<thrd_t> threads;
  for (int i = 0; i < 20; ++i) {
    threads.push_back(Start(
        [](void* argument) {
          auto* t = static_cast<Table*>(argument);
          mtx_lock(&t->mutex);
          while (t->turn == 0) cnd_wait(&t->cond, &t->mutex);
          ++t->woken;
          mtx_unlock(&t->mutex);
          return 0;
        },
        &table));
  }
  mtx_lock(&table.mutex);
  const timespec deadline = In(CLOCK_REALTIME, 10);
  EXPECT_EQ(cnd_timedwait(&table.cond, &table.mutex, &deadline), thrd_timedout);
  EXPECT_GE(test::NowNs(CLOCK_REALTIME), test::ToNs(deadline));
  timespec bad = In(CLOCK_REALTIME, 1000);
  bad.tv_nsec = test::kNsPerSecond;
  EXPECT_EQ(cnd_timedwait(&table.cond, &table.mutex, &bad), thrd_error);
  table.turn = 1;
  EXPECT_EQ(cnd_broadcast(&table.cond), thrd_success);
  mtx_unlock(&table.mutex);
  for (const thrd_t thread : threads) Join(thread);
  EXPECT_EQ(table.woken, 20);
  cnd_destroy(&table.cond);
  mtx_destroy(&table.mutex);
}

TEST(C11Tss, ValuesAndDestructors) {
  static std::atomic<int> destroyed;
  destroyed = 0;
  static tss_t key;
  ASSERT_EQ(tss_create(&key, [](void* value) { destroyed += static_cast<int>(reinterpret_cast<intptr_t>(value)); }),
            thrd_success);
  std::vector<thrd_t> threads;
  for (intptr_t i = 1; i <= 10; ++i) {
    threads.push_back(Start(
        [](void* argument) {
          EXPECT_EQ(tss_get(key), nullptr);
          EXPECT_EQ(tss_set(key, argument), thrd_success);
          thrd_yield();
          EXPECT_EQ(tss_get(key), argument);
          return 0;
        },
        reinterpret_cast<void*>(i)));
  }
  for (const thrd_t thread : threads) Join(thread);
  EXPECT_EQ(destroyed, 55);
  tss_delete(key);
  EXPECT_EQ(tss_set(key, &key), thrd_error);
}

TEST(C11Once, RunsOnce) {
  static once_flag flag = ONCE_FLAG_INIT;
  static std::atomic<int> runs;
  std::vector<thrd_t> threads;
  for (int i = 0; i < 10; ++i) {
    threads.push_back(Start([](void*) {
      call_once(&flag, [] {
        test::SleepMs(2);
        ++runs;
      });
      return runs.load();
    }));
  }
  for (const thrd_t thread : threads) EXPECT_EQ(Join(thread), 1);
}

}  // namespace
