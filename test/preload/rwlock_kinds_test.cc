// SPDX-License-Identifier: Apache-2.0
// Tests what sets reader-writer locks of one kind apart: preferences, initialisers, attributes.
#include <sched.h>
#include <string.h>

#include <shared_mutex>
#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::InThread;
using test::Thread;

TEST(RwlockStatic, Initialisers) {
  static pthread_rwlock_t plain = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_rwlock_t writers = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
  for (pthread_rwlock_t* lock : {&plain, &writers}) {
    EXPECT_EQ(pthread_rwlock_wrlock(lock), 0);
    EXPECT_EQ(InThread([&] { return pthread_rwlock_tryrdlock(lock); }), EBUSY);
    EXPECT_EQ(pthread_rwlock_unlock(lock), 0);
    EXPECT_EQ(pthread_rwlock_destroy(lock), 0);
  }
}

TEST(RwlockStatic, PreferredWriterComesBeforeNewReaders) {
  // Non-recursive writer preference: while a writer waits, a new reader does not get in.
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
  ASSERT_EQ(pthread_rwlock_rdlock(&lock), 0);
  Thread writer([] {
    EXPECT_EQ(pthread_rwlock_wrlock(&lock), 0);
    EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([] {
    const int error = InThread([] {
      const int result = pthread_rwlock_tryrdlock(&lock);
      if (result == 0) pthread_rwlock_unlock(&lock);
      return result;
    });
    return error == EBUSY;
  }));
  EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
  writer.Join();
}

TEST(RwlockStatic, PreferredReaderComesBeforeWaitingWriters) {
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  ASSERT_EQ(pthread_rwlock_rdlock(&lock), 0);
  Thread writer([] {
    EXPECT_EQ(pthread_rwlock_wrlock(&lock), 0);
    EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
    return nullptr;
  });
  test::LetThemWait();
  // Recursive reading while a writer waits must not deadlock.
  EXPECT_EQ(pthread_rwlock_rdlock(&lock), 0);
  EXPECT_EQ(InThread([] {
              EXPECT_EQ(pthread_rwlock_rdlock(&lock), 0);
              return pthread_rwlock_unlock(&lock);
            }),
            0);
  EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
  EXPECT_EQ(pthread_rwlock_unlock(&lock), 0);
  writer.Join();
}

TEST(RwlockStatic, Attributes) {
  HereAndInAThread([] {
    pthread_rwlockattr_t attr;
    ASSERT_EQ(pthread_rwlockattr_init(&attr), 0);
    int value = -1;
    EXPECT_EQ(pthread_rwlockattr_getkind_np(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_RWLOCK_DEFAULT_NP);
    EXPECT_EQ(pthread_rwlockattr_setkind_np(&attr, 17), EINVAL);
    EXPECT_EQ(pthread_rwlockattr_getpshared(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_PROCESS_PRIVATE);
    EXPECT_EQ(pthread_rwlockattr_setpshared(&attr, 17), EINVAL);
    EXPECT_EQ(pthread_rwlockattr_destroy(&attr), 0);
  });
}

TEST(RwlockStatic, DestroyedByTheNextOwner) {
  for (int i = 0; i < 200; ++i) {
    auto* lock = new pthread_rwlock_t;
    ASSERT_EQ(pthread_rwlock_init(lock, nullptr), 0);
    std::atomic<bool> locked = false;
    Thread thread([&, lock] {
      pthread_rwlock_wrlock(lock);
      locked = true;
      pthread_rwlock_unlock(lock);
      return nullptr;
    });
    while (!locked) sched_yield();
    ASSERT_EQ(pthread_rwlock_wrlock(lock), 0);
    ASSERT_EQ(pthread_rwlock_unlock(lock), 0);
    thread.Join();
    ASSERT_EQ(pthread_rwlock_destroy(lock), 0);
    memset(static_cast<void*>(lock), 0xaa, sizeof *lock);
    delete lock;
  }
}

TEST(RwlockStatic, StandardSharedMutex) {
  std::shared_mutex mutex;
  std::shared_timed_mutex timed;
  int value = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        if ((t + i) % 3 == 0) {
          std::unique_lock lock(mutex);
          ++value;
        } else {
          std::shared_lock lock(mutex);
          EXPECT_GE(value, 0);
          std::shared_lock second(timed, std::chrono::seconds(20));
          EXPECT_TRUE(second.owns_lock());
        }
      }
      return nullptr;
    });
  }
  threads.clear();
  int writes = 0;
  for (int t = 0; t < 5; ++t) {
    for (int i = 0; i < 200; ++i) writes += (t + i) % 3 == 0;
  }
  EXPECT_EQ(value, writes);
}

}  // namespace
