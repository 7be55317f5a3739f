// SPDX-License-Identifier: Apache-2.0
// Tests reader-writer locks: sharing and exclusion, both preferences, timed locks, errors.
#include <limits.h>
#include <sched.h>
#include <string.h>

#include <shared_mutex>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::HereAndInAThread;
using test::In;
using test::NowNs;
using test::Thread;

int InThread(const std::function<int()>& body) {
  int result = -1;
  Thread([&] {
    result = body();
    return nullptr;
  });
  return result;
}

class Rwlock : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    pthread_rwlockattr_t attr;
    ASSERT_EQ(pthread_rwlockattr_init(&attr), 0);
    ASSERT_EQ(pthread_rwlockattr_setkind_np(&attr, GetParam()), 0);
    int kind = -1;
    EXPECT_EQ(pthread_rwlockattr_getkind_np(&attr, &kind), 0);
    EXPECT_EQ(kind, GetParam());
    ASSERT_EQ(pthread_rwlock_init(&lock_, &attr), 0);
    ASSERT_EQ(pthread_rwlockattr_destroy(&attr), 0);
  }
  void TearDown() override { EXPECT_EQ(pthread_rwlock_destroy(&lock_), 0); }
  void Read() { EXPECT_EQ(pthread_rwlock_rdlock(&lock_), 0); }
  void Write() { EXPECT_EQ(pthread_rwlock_wrlock(&lock_), 0); }
  void Unlock() { EXPECT_EQ(pthread_rwlock_unlock(&lock_), 0); }

  pthread_rwlock_t lock_;
};

INSTANTIATE_TEST_SUITE_P(BothPreferences, Rwlock,
                         testing::Values(PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP,
                                         PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));

TEST_P(Rwlock, ReadersShareWritersDoNot) {
  Read();
  EXPECT_EQ(InThread([&] {
              Read();
              EXPECT_EQ(pthread_rwlock_tryrdlock(&lock_), 0);
              Unlock();
              Unlock();
              return pthread_rwlock_trywrlock(&lock_);
            }),
            EBUSY);
  Unlock();
  Write();
  EXPECT_EQ(InThread([&] { return pthread_rwlock_tryrdlock(&lock_); }), EBUSY);
  EXPECT_EQ(InThread([&] { return pthread_rwlock_trywrlock(&lock_); }), EBUSY);
  EXPECT_EQ(pthread_rwlock_tryrdlock(&lock_), EBUSY);
  EXPECT_EQ(pthread_rwlock_trywrlock(&lock_), EBUSY);
  Unlock();
}

TEST_P(Rwlock, Invariants) {
  std::atomic<int> readers = 0;
  std::atomic<int> writers = 0;
  int value = 0;
  int copy = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        if ((t + i) % 4 == 0) {
          Write();
          EXPECT_EQ(writers.fetch_add(1), 0);
          EXPECT_EQ(readers, 0);
          ++value;
          if (i % 16 == 0) sched_yield();
          ++copy;
          writers.fetch_sub(1);
        } else {
          Read();
          readers.fetch_add(1);
          EXPECT_EQ(writers, 0);
          EXPECT_EQ(value, copy);
          if (i % 16 == 1) sched_yield();
          readers.fetch_sub(1);
        }
        Unlock();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(value, 8 * 500 / 4);
  EXPECT_EQ(copy, value);
}

TEST_P(Rwlock, ManyReadersInsideAtOnce) {
  constexpr int kReaders = 50;
  std::atomic<int> inside = 0;
  Gate gate;
  std::vector<Thread> threads;
  for (int t = 0; t < kReaders; ++t) {
    threads.emplace_back([&] {
      Read();
      ++inside;
      gate.Wait();
      Unlock();
      return nullptr;
    });
  }
  EXPECT_TRUE(test::Eventually([&] { return inside == kReaders; }));
  std::atomic<bool> written = false;
  Thread writer([&] {
    Write();
    written = true;
    Unlock();
    return nullptr;
  });
  test::SleepMs(5);
  EXPECT_FALSE(written);
  gate.Open();
  writer.Join();
  EXPECT_TRUE(written);
}

TEST_P(Rwlock, Timed) {
  Write();
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
    EXPECT_EQ(InThread([&] {
                const timespec deadline = In(clock, 10);
                const int error = pthread_rwlock_clockrdlock(&lock_, clock, &deadline);
                EXPECT_GE(NowNs(clock), test::ToNs(deadline));
                return error;
              }),
              ETIMEDOUT);
    EXPECT_EQ(InThread([&] {
                const timespec deadline = In(clock, 10);
                const int error = pthread_rwlock_clockwrlock(&lock_, clock, &deadline);
                EXPECT_GE(NowNs(clock), test::ToNs(deadline));
                return error;
              }),
              ETIMEDOUT);
  }
  EXPECT_EQ(InThread([&] {
              const timespec deadline = In(CLOCK_REALTIME, 10);
              return pthread_rwlock_timedrdlock(&lock_, &deadline);
            }),
            ETIMEDOUT);
  EXPECT_EQ(InThread([&] {
              const timespec past = {.tv_sec = -1, .tv_nsec = 0};
              return pthread_rwlock_timedwrlock(&lock_, &past);
            }),
            ETIMEDOUT);
  Unlock();
  const timespec later = In(CLOCK_REALTIME, 20'000);
  EXPECT_EQ(pthread_rwlock_timedrdlock(&lock_, &later), 0);
  Unlock();
  EXPECT_EQ(pthread_rwlock_timedwrlock(&lock_, &later), 0);
  Unlock();
}

TEST_P(Rwlock, AWriterThatGaveUpDoesNotBlockReaders) {
  Read();
  EXPECT_EQ(InThread([&] {
              const timespec deadline = In(CLOCK_MONOTONIC, 10);
              return pthread_rwlock_clockwrlock(&lock_, CLOCK_MONOTONIC, &deadline);
            }),
            ETIMEDOUT);
  EXPECT_EQ(InThread([&] {
              Read();
              Unlock();
              return pthread_rwlock_tryrdlock(&lock_) == 0 ? pthread_rwlock_unlock(&lock_) : -1;
            }),
            0);
  Unlock();
}

TEST_P(Rwlock, ReadersQueuedBehindAWriterThatGivesUpGoOn) {
  Read();
  std::atomic<int> read = 0;
  Thread writer([&] {
    const timespec deadline = In(CLOCK_MONOTONIC, 20);
    EXPECT_EQ(pthread_rwlock_clockwrlock(&lock_, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
    return nullptr;
  });
  test::SleepMs(5);
  std::vector<Thread> readers;
  for (int i = 0; i < 5; ++i) {
    readers.emplace_back([&] {
      Read();
      ++read;
      Unlock();
      return nullptr;
    });
  }
  readers.clear();
  writer.Join();
  EXPECT_EQ(read, 5);
  Unlock();
}

TEST_P(Rwlock, BadTimesAndClocks) {
  for (const long nsec : {-1L, 1'000'000'000L, LONG_MAX}) {
    timespec bad = In(CLOCK_REALTIME, 1000);
    bad.tv_nsec = nsec;
    // glibc looks at the time first, even when the lock is free.
    EXPECT_EQ(pthread_rwlock_timedrdlock(&lock_, &bad), EINVAL);
    EXPECT_EQ(pthread_rwlock_timedwrlock(&lock_, &bad), EINVAL);
    EXPECT_EQ(pthread_rwlock_clockrdlock(&lock_, CLOCK_MONOTONIC, &bad), EINVAL);
    EXPECT_EQ(pthread_rwlock_clockwrlock(&lock_, CLOCK_MONOTONIC, &bad), EINVAL);
  }
  const timespec later = In(CLOCK_REALTIME, 1000);
  EXPECT_EQ(pthread_rwlock_clockrdlock(&lock_, CLOCK_PROCESS_CPUTIME_ID, &later), EINVAL);
  EXPECT_EQ(pthread_rwlock_clockwrlock(&lock_, 99, &later), EINVAL);
  Thread([] { return nullptr; });
}

TEST_P(Rwlock, DeadlocksWithOneself) {
  HereAndInAThread([&] {
    Write();
    EXPECT_EQ(pthread_rwlock_wrlock(&lock_), EDEADLK);
    EXPECT_EQ(pthread_rwlock_rdlock(&lock_), EDEADLK);
    const timespec later = In(CLOCK_REALTIME, 20'000);
    EXPECT_EQ(pthread_rwlock_timedrdlock(&lock_, &later), EDEADLK);
    EXPECT_EQ(pthread_rwlock_timedwrlock(&lock_, &later), EDEADLK);
    Unlock();
  });
}

TEST_P(Rwlock, WritersAllGetIn) {
  Read();
  int written = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      Write();
      ++written;
      Unlock();
      return nullptr;
    });
  }
  test::SleepMs(5);
  EXPECT_EQ(written, 0);
  Unlock();
  threads.clear();
  EXPECT_EQ(written, 50);
}

TEST_P(Rwlock, MixOfTriesAndTimesLosesNothing) {
  int value = 0;
  std::atomic<int> expected = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const timespec deadline = test::FromNs(NowNs() + 30'000);
        bool write = true;
        int error = 0;
        switch ((t + i) % 6) {
          case 0:
            error = pthread_rwlock_wrlock(&lock_);
            break;
          case 1:
            error = pthread_rwlock_trywrlock(&lock_);
            break;
          case 2:
            error = pthread_rwlock_clockwrlock(&lock_, CLOCK_MONOTONIC, &deadline);
            break;
          case 3:
            error = pthread_rwlock_rdlock(&lock_);
            write = false;
            break;
          case 4:
            error = pthread_rwlock_tryrdlock(&lock_);
            write = false;
            break;
          case 5:
            error = pthread_rwlock_clockrdlock(&lock_, CLOCK_MONOTONIC, &deadline);
            write = false;
            break;
        }
        if (error != 0) {
          EXPECT_TRUE(error == EBUSY || error == ETIMEDOUT) << error;
          continue;
        }
        if (write) {
          ++value;
          ++expected;
        }
        if (i % 32 == 0) sched_yield();
        Unlock();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(value, expected);
}

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
  test::SleepMs(10);
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
