// SPDX-License-Identifier: Apache-2.0
// Tests reader-writer locks of every preference: sharing and exclusion, timed locks, errors.
#include <limits.h>
#include <sched.h>

#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::HereAndInAThread;
using test::In;
using test::InThread;
using test::NowNs;
using test::Thread;

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
  test::LetThemWait();
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
  test::LetThemWait();
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
  test::LetThemWait();
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

}  // namespace
