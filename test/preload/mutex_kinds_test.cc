// SPDX-License-Identifier: Apache-2.0
// Tests mutexes, condition variables and locks that glibc keeps: robust, PI, process-shared.
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "util.h"

namespace {

using test::In;
using test::Thread;

struct Options {
  int type = PTHREAD_MUTEX_NORMAL;
  int protocol = PTHREAD_PRIO_NONE;
  int robust = PTHREAD_MUTEX_STALLED;
  int pshared = PTHREAD_PROCESS_PRIVATE;
};

void Init(pthread_mutex_t* mutex, const Options& options) {
  pthread_mutexattr_t attr;
  ASSERT_EQ(pthread_mutexattr_init(&attr), 0);
  ASSERT_EQ(pthread_mutexattr_settype(&attr, options.type), 0);
  ASSERT_EQ(pthread_mutexattr_setprotocol(&attr, options.protocol), 0);
  ASSERT_EQ(pthread_mutexattr_setrobust(&attr, options.robust), 0);
  ASSERT_EQ(pthread_mutexattr_setpshared(&attr, options.pshared), 0);
  ASSERT_EQ(pthread_mutex_init(mutex, &attr), 0);
  ASSERT_EQ(pthread_mutexattr_destroy(&attr), 0);
}

// Memory that forked processes share.
template <typename T>
class Shared {
 public:
  Shared() {
    void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    object_ = static_cast<T*>(memory);
  }
  ~Shared() { munmap(object_, sizeof(T)); }
  T* operator->() { return object_; }

 private:
  T* object_;
};

class Kinds : public testing::TestWithParam<Options> {};

INSTANTIATE_TEST_SUITE_P(Mutex, Kinds,
                         testing::Values(Options{.robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.protocol = PTHREAD_PRIO_INHERIT},
                                         Options{.pshared = PTHREAD_PROCESS_SHARED},
                                         Options{.protocol = PTHREAD_PRIO_INHERIT, .robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.robust = PTHREAD_MUTEX_ROBUST, .pshared = PTHREAD_PROCESS_SHARED},
                                         Options{.type = PTHREAD_MUTEX_RECURSIVE, .robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.type = PTHREAD_MUTEX_ERRORCHECK, .protocol = PTHREAD_PRIO_INHERIT},
                                         Options{.type = PTHREAD_MUTEX_RECURSIVE, .pshared = PTHREAD_PROCESS_SHARED}));

TEST_P(Kinds, ExcludesUnderContention) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  int64_t counter = 0;
  int inside = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 400; ++i) {
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        EXPECT_EQ(inside++, 0);
        ++counter;
        if (i % 16 == 0) sched_yield();
        --inside;
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 1'600);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Kinds, HeldWhileTheThreadBlocks) {
  // The owner is known to the kernel or to other processes: it must not change under way.
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;
  int rounds = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        usleep(10);
        pthread_mutex_lock(&other);
        sched_yield();
        ++rounds;
        pthread_mutex_unlock(&other);
        if (GetParam().type == PTHREAD_MUTEX_RECURSIVE) {
          EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
          EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
        } else if (GetParam().type == PTHREAD_MUTEX_ERRORCHECK) {
          EXPECT_EQ(pthread_mutex_lock(&mutex), EDEADLK);
        }
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(rounds, 120);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Kinds, BusyAndTimedOut) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  ASSERT_EQ(pthread_mutex_lock(&mutex), 0);
  Thread([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    timespec deadline = In(CLOCK_REALTIME, 10);
    EXPECT_EQ(pthread_mutex_timedlock(&mutex, &deadline), ETIMEDOUT);
    EXPECT_GE(test::NowNs(CLOCK_REALTIME), test::ToNs(deadline));
    return nullptr;
  });
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  Thread([&] {
    EXPECT_EQ(pthread_mutex_trylock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    return nullptr;
  });
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Kinds, WithAConditionVariable) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  auto player = [&](int me) {
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
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
  EXPECT_EQ(turn, 200);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

class Robust : public testing::TestWithParam<Options> {};

INSTANTIATE_TEST_SUITE_P(Mutex, Robust,
                         testing::Values(Options{.robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.protocol = PTHREAD_PRIO_INHERIT, .robust = PTHREAD_MUTEX_ROBUST},
                                         Options{.robust = PTHREAD_MUTEX_ROBUST, .pshared = PTHREAD_PROCESS_SHARED}));

TEST_P(Robust, OwnerDiedAndConsistent) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  for (int i = 0; i < 5; ++i) {
    Thread([&] {
      EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
      return nullptr;
    });
    EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), EINVAL);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  }
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Robust, NotRecoverable) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  Thread([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    return nullptr;
  });
  EXPECT_EQ(pthread_mutex_trylock(&mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  EXPECT_EQ(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
  EXPECT_EQ(pthread_mutex_trylock(&mutex), ENOTRECOVERABLE);
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Robust, AWaiterLearnsOfTheDeath) {
  pthread_mutex_t mutex;
  Init(&mutex, GetParam());
  test::Gate held;
  test::Gate die;
  Thread owner([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    held.Open();
    die.Wait();
    return nullptr;
  });
  held.Wait();
  Thread waiter([&] {
    EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    return nullptr;
  });
  test::SleepMs(5);
  die.Open();
  owner.Join();
  waiter.Join();
  EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
}

TEST_P(Robust, OneOfManyHeldAtDeath) {
  constexpr int kMutexes = 5;
  pthread_mutex_t mutexes[kMutexes];
  for (auto& mutex : mutexes) Init(&mutex, GetParam());
  Thread([&] {
    for (auto& mutex : mutexes) EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    usleep(10);
    EXPECT_EQ(pthread_mutex_unlock(&mutexes[2]), 0);
    return nullptr;
  });
  for (int i = 0; i < kMutexes; ++i) {
    EXPECT_EQ(pthread_mutex_lock(&mutexes[i]), i == 2 ? 0 : EOWNERDEAD);
    if (i != 2) {
      EXPECT_EQ(pthread_mutex_consistent(&mutexes[i]), 0);
    }
    EXPECT_EQ(pthread_mutex_unlock(&mutexes[i]), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutexes[i]), 0);
  }
}

TEST(RobustProcess, OwnerProcessDied) {
  struct State {
    pthread_mutex_t mutex;
  };
  Shared<State> shared;
  Init(&shared->mutex, {.robust = PTHREAD_MUTEX_ROBUST, .pshared = PTHREAD_PROCESS_SHARED});
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             CHILD_CHECK(pthread_mutex_lock(&shared->mutex) == 0);
                             return 3;
                           }),
                           3));
  Thread([&] {
    EXPECT_EQ(pthread_mutex_lock(&shared->mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&shared->mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&shared->mutex), 0);
    return nullptr;
  });
}

TEST(PrioProtect, CeilingOfTheMutex) {
  test::HereAndInAThread([] {
    pthread_mutexattr_t attr;
    ASSERT_EQ(pthread_mutexattr_init(&attr), 0);
    EXPECT_EQ(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT), 0);
    EXPECT_EQ(pthread_mutexattr_setprioceiling(&attr, 1000), EINVAL);
    EXPECT_EQ(pthread_mutexattr_setprioceiling(&attr, 10), 0);
    int ceiling = -1;
    EXPECT_EQ(pthread_mutexattr_getprioceiling(&attr, &ceiling), 0);
    EXPECT_EQ(ceiling, 10);
    pthread_mutex_t mutex;
    ASSERT_EQ(pthread_mutex_init(&mutex, &attr), 0);
    ceiling = -1;
    EXPECT_EQ(pthread_mutex_getprioceiling(&mutex, &ceiling), 0);
    EXPECT_EQ(ceiling, 10);
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
    EXPECT_EQ(pthread_mutexattr_destroy(&attr), 0);
    pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
    EXPECT_EQ(pthread_mutex_getprioceiling(&plain, &ceiling), EINVAL);
  });
}

// A turn that goes round between processes and their threads, by mutex and condition variable.
struct Ring {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int turn;
};

constexpr int kProcesses = 3;
constexpr int kThreadsEach = 2;
constexpr int kRounds = 40;

void TakeTurns(Ring* ring, int process) {
  std::vector<Thread> threads;
  for (int t = 0; t < kThreadsEach; ++t) {
    threads.emplace_back([ring, process, t] {
      const int me = process * kThreadsEach + t;
      for (int i = 0; i < kRounds; ++i) {
        pthread_mutex_lock(&ring->mutex);
        while (ring->turn % (kProcesses * kThreadsEach) != me) {
          pthread_cond_wait(&ring->cond, &ring->mutex);
        }
        ++ring->turn;
        pthread_cond_broadcast(&ring->cond);
        pthread_mutex_unlock(&ring->mutex);
      }
      return nullptr;
    });
  }
}

TEST(ProcessShared, MutexAndCondBetweenProcesses) {
  Shared<Ring> ring;
  Init(&ring->mutex, {.pshared = PTHREAD_PROCESS_SHARED});
  pthread_condattr_t attr;
  ASSERT_EQ(pthread_condattr_init(&attr), 0);
  ASSERT_EQ(pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), 0);
  ASSERT_EQ(pthread_cond_init(&ring->cond, &attr), 0);
  std::vector<pid_t> children;
  for (int p = 1; p < kProcesses; ++p) {
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      alarm(test::kChildSeconds);
      TakeTurns(ring.operator->(), p);
      _exit(p);
    }
    children.push_back(child);
  }
  TakeTurns(ring.operator->(), 0);
  for (int p = 1; p < kProcesses; ++p) {
    EXPECT_TRUE(test::Exited(test::WaitFor(children[p - 1]), p));
  }
  EXPECT_EQ(ring->turn, kProcesses * kThreadsEach * kRounds);
}

TEST(ProcessShared, RwlockBarrierAndSpinBetweenProcesses) {
  struct State {
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    pthread_spinlock_t spin;
    int written;
    int spun;
  };
  Shared<State> shared;
  pthread_rwlockattr_t rwattr;
  ASSERT_EQ(pthread_rwlockattr_init(&rwattr), 0);
  ASSERT_EQ(pthread_rwlockattr_setpshared(&rwattr, PTHREAD_PROCESS_SHARED), 0);
  ASSERT_EQ(pthread_rwlock_init(&shared->rwlock, &rwattr), 0);
  pthread_barrierattr_t battr;
  ASSERT_EQ(pthread_barrierattr_init(&battr), 0);
  ASSERT_EQ(pthread_barrierattr_setpshared(&battr, PTHREAD_PROCESS_SHARED), 0);
  ASSERT_EQ(pthread_barrier_init(&shared->barrier, &battr, 2 * kThreadsEach), 0);
  ASSERT_EQ(pthread_spin_init(&shared->spin, PTHREAD_PROCESS_SHARED), 0);
  auto work = [&] {
    std::atomic<int> serial = 0;
    {
      std::vector<Thread> threads;
      for (int t = 0; t < kThreadsEach; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < kRounds; ++i) {
            pthread_rwlock_wrlock(&shared->rwlock);
            ++shared->written;
            pthread_rwlock_unlock(&shared->rwlock);
            pthread_spin_lock(&shared->spin);
            ++shared->spun;
            pthread_spin_unlock(&shared->spin);
            const int result = pthread_barrier_wait(&shared->barrier);
            if (result == PTHREAD_BARRIER_SERIAL_THREAD) ++serial;
            pthread_rwlock_rdlock(&shared->rwlock);
            if (shared->written < (i + 1) * 2 * kThreadsEach) serial += 1000;
            pthread_rwlock_unlock(&shared->rwlock);
          }
          return nullptr;
        });
      }
    }
    return serial.load();
  };
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    alarm(test::kChildSeconds);
    _exit(work());
  }
  const int serial = work();
  const int status = test::WaitFor(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(serial + WEXITSTATUS(status), kRounds);
  EXPECT_EQ(shared->written, 2 * kThreadsEach * kRounds);
  EXPECT_EQ(shared->spun, 2 * kThreadsEach * kRounds);
}

}  // namespace
