// SPDX-License-Identifier: Apache-2.0
// Tests thread-specific data: values per thread, destructor rounds, key reuse and limits.
#include <limits.h>
#include <sched.h>

#include <array>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::HereAndInAThread;
using test::Thread;

void* Tag(uintptr_t value) {
  return reinterpret_cast<void*>(value);
}

std::atomic<int> destroyed;
std::atomic<uintptr_t> destroyed_sum;

void CountDestroyed(void* value) {
  destroyed.fetch_add(1);
  destroyed_sum.fetch_add(reinterpret_cast<uintptr_t>(value));
}

class Key : public testing::Test {
 protected:
  void SetUp() override {
    destroyed = 0;
    destroyed_sum = 0;
  }
};

TEST_F(Key, StartsNullInEveryThread) {
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, nullptr), 0);
  EXPECT_EQ(pthread_getspecific(key), nullptr);
  EXPECT_EQ(pthread_setspecific(key, Tag(1)), 0);
  Thread thread([key] {
    EXPECT_EQ(pthread_getspecific(key), nullptr);
    EXPECT_EQ(pthread_setspecific(key, Tag(2)), 0);
    sched_yield();
    return pthread_getspecific(key);
  });
  EXPECT_EQ(thread.Join(), Tag(2));
  EXPECT_EQ(pthread_getspecific(key), Tag(1));
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, EachThreadKeepsItsOwnAcrossBlocking) {
  constexpr int kKeys = 40;  // More than fit in glibc's first block.
  std::array<pthread_key_t, kKeys> keys;
  for (auto& key : keys) ASSERT_EQ(pthread_key_create(&key, &CountDestroyed), 0);
  std::vector<Thread> threads;
  for (int t = 1; t <= 20; ++t) {
    threads.emplace_back([&keys, t] {
      for (int k = 0; k < kKeys; ++k) {
        EXPECT_EQ(pthread_setspecific(keys[k], Tag(t * 100 + k)), 0);
      }
      for (int i = 0; i < 20; ++i) {
        usleep(50);
        sched_yield();
        for (int k = 0; k < kKeys; ++k) {
          EXPECT_EQ(pthread_getspecific(keys[k]), Tag(t * 100 + k));
        }
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(destroyed, 20 * kKeys);
  uintptr_t sum = 0;
  for (int t = 1; t <= 20; ++t) {
    for (int k = 0; k < kKeys; ++k) sum += t * 100 + k;
  }
  EXPECT_EQ(destroyed_sum, sum);
  for (const auto key : keys) EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, DestructorSeesNullAndRunsBeforeJoinReturns) {
  static pthread_key_t key;
  static std::atomic<bool> was_null;
  static std::atomic<pthread_t> where;
  was_null = false;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 was_null = pthread_getspecific(key) == nullptr;
                                 where = pthread_self();
                                 test::SleepMs(5);
                                 CountDestroyed(value);
                               }),
            0);
  Thread thread([] {
    pthread_setspecific(key, Tag(9));
    return nullptr;
  });
  thread.Join();
  EXPECT_EQ(destroyed, 1);
  EXPECT_EQ(destroyed_sum, 9u);
  EXPECT_TRUE(was_null);
  EXPECT_TRUE(pthread_equal(where.load(), thread.id()));
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, NullValuesAreNotDestroyed) {
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, &CountDestroyed), 0);
  Thread([key] {
    pthread_setspecific(key, Tag(1));
    pthread_setspecific(key, nullptr);
    return nullptr;
  });
  EXPECT_EQ(destroyed, 0);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, RunsAtPthreadExitAndInDetachedThreads) {
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, &CountDestroyed), 0);
  Thread([key]() -> void* {
    pthread_setspecific(key, Tag(1));
    pthread_exit(nullptr);
  });
  EXPECT_EQ(destroyed, 1);
  for (int i = 0; i < 20; ++i) {
    Thread thread([key]() -> void* {
      pthread_setspecific(key, Tag(1));
      pthread_detach(pthread_self());
      return nullptr;
    });
    thread.Release();
  }
  EXPECT_TRUE(test::Eventually([] { return destroyed == 21; }));
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, SetAgainInTheDestructorRunsFourRounds) {
  static pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 CountDestroyed(Tag(1));
                                 pthread_setspecific(key, value);
                               }),
            0);
  Thread([] {
    pthread_setspecific(key, Tag(1));
    return nullptr;
  });
  EXPECT_EQ(destroyed, PTHREAD_DESTRUCTOR_ITERATIONS);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, AValueLeftAfterTheRoundsIsNotInheritedByTheNextThread) {
  static pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void* value) { pthread_setspecific(key, value); }), 0);
  for (int i = 0; i < 50; ++i) {
    Thread thread([] {
      void* before = pthread_getspecific(key);
      pthread_setspecific(key, Tag(77));
      return before;
    });
    EXPECT_EQ(thread.Join(), nullptr);
  }
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, DestructorMaySetALaterKeyAndAnEarlierOne) {
  static pthread_key_t first;
  static pthread_key_t second;
  static std::atomic<int> first_runs;
  static std::atomic<int> second_runs;
  first_runs = second_runs = 0;
  ASSERT_EQ(pthread_key_create(&first,
                               [](void*) {
                                 if (++first_runs == 1) pthread_setspecific(second, Tag(2));
                               }),
            0);
  ASSERT_EQ(pthread_key_create(&second,
                               [](void*) {
                                 if (++second_runs == 1) pthread_setspecific(first, Tag(3));
                               }),
            0);
  Thread([] {
    pthread_setspecific(first, Tag(1));
    return nullptr;
  });
  EXPECT_EQ(first_runs, 2);
  EXPECT_EQ(second_runs, 1);
  EXPECT_EQ(pthread_key_delete(first), 0);
  EXPECT_EQ(pthread_key_delete(second), 0);
}

TEST_F(Key, DestructorsMayBlock) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static int inside = 0;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 pthread_mutex_lock(&mutex);
                                 EXPECT_EQ(inside++, 0);
                                 usleep(100);
                                 --inside;
                                 pthread_mutex_unlock(&mutex);
                                 CountDestroyed(value);
                               }),
            0);
  std::vector<Thread> threads;
  for (int i = 0; i < 30; ++i) {
    threads.emplace_back([key] {
      pthread_setspecific(key, Tag(1));
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(destroyed, 30);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST_F(Key, DeletedKeysRunNoDestructorAndAReusedIndexStartsNull) {
  Gate set;
  Gate gate;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, &CountDestroyed), 0);
  pthread_key_t reused;
  Thread thread([&] {
    pthread_setspecific(key, Tag(1));
    set.Open();
    gate.Wait();
    return pthread_getspecific(reused);
  });
  set.Wait();
  EXPECT_EQ(pthread_key_delete(key), 0);
  ASSERT_EQ(pthread_key_create(&reused, &CountDestroyed), 0);
  EXPECT_EQ(reused, key);  // glibc gives the lowest free one.
  gate.Open();
  EXPECT_EQ(thread.Join(), nullptr);
  EXPECT_EQ(destroyed, 0);
  EXPECT_EQ(pthread_key_delete(reused), 0);
}

TEST_F(Key, ManyKeys) {
  std::vector<pthread_key_t> keys;
  int error = 0;
  for (;;) {
    pthread_key_t key;
    error = pthread_key_create(&key, &CountDestroyed);
    if (error != 0) break;
    keys.push_back(key);
    ASSERT_LE(keys.size(), static_cast<size_t>(PTHREAD_KEYS_MAX));
  }
  EXPECT_EQ(error, EAGAIN);
  // Libraries hold some of them already.
  EXPECT_GT(keys.size(), static_cast<size_t>(PTHREAD_KEYS_MAX) - 64);
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&keys] {
      for (const auto key : keys) EXPECT_EQ(pthread_setspecific(key, Tag(key + 1)), 0);
      sched_yield();
      for (const auto key : keys) EXPECT_EQ(pthread_getspecific(key), Tag(key + 1));
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(static_cast<size_t>(destroyed.load()), 4 * keys.size());
  for (const auto key : keys) EXPECT_EQ(pthread_key_delete(key), 0);
  pthread_key_t again;
  EXPECT_EQ(pthread_key_create(&again, nullptr), 0);
  EXPECT_EQ(pthread_key_delete(again), 0);
}

TEST_F(Key, Errors) {
  HereAndInAThread([&] {
    pthread_key_t key;
    ASSERT_EQ(pthread_key_create(&key, nullptr), 0);
    EXPECT_EQ(pthread_key_delete(key), 0);
    EXPECT_EQ(pthread_key_delete(key), EINVAL);
    EXPECT_EQ(pthread_setspecific(key, Tag(1)), EINVAL);
    EXPECT_EQ(pthread_getspecific(key), nullptr);
    EXPECT_EQ(pthread_key_delete(PTHREAD_KEYS_MAX), EINVAL);
    EXPECT_EQ(pthread_setspecific(PTHREAD_KEYS_MAX, Tag(1)), EINVAL);
    EXPECT_EQ(pthread_getspecific(PTHREAD_KEYS_MAX), nullptr);
    EXPECT_EQ(pthread_key_delete(~0u), EINVAL);
  });
}

TEST_F(Key, CreatedAndDeletedFromManyThreads) {
  std::vector<Thread> threads;
  for (int t = 1; t <= 8; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 300; ++i) {
        pthread_key_t key;
        EXPECT_EQ(pthread_key_create(&key, nullptr), 0);
        EXPECT_EQ(pthread_getspecific(key), nullptr);
        EXPECT_EQ(pthread_setspecific(key, Tag(t)), 0);
        sched_yield();
        EXPECT_EQ(pthread_getspecific(key), Tag(t));
        EXPECT_EQ(pthread_key_delete(key), 0);
      }
      return nullptr;
    });
  }
}

thread_local struct LogsItsEnd {
  std::atomic<int>* order = nullptr;
  ~LogsItsEnd() {
    if (order != nullptr) {
      EXPECT_EQ(order->fetch_add(1), 0);
    }
  }
} thread_local_object;

TEST_F(Key, ThreadLocalDestructorsRunBeforeKeyDestructors) {
  std::atomic<int> order = 0;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 auto* place = static_cast<std::atomic<int>*>(value);
                                 EXPECT_EQ(place->fetch_add(1), 1);
                               }),
            0);
  Thread([&] {
    pthread_setspecific(key, &order);
    thread_local_object.order = &order;
    return nullptr;
  });
  EXPECT_EQ(order, 2);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

}  // namespace
