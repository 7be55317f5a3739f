// SPDX-License-Identifier: Apache-2.0
// Tests locks, condition variables and barriers between the threads of several processes.
#include <unistd.h>

#include <atomic>
#include <vector>

#include "shared_mutex.h"

namespace {

using test::Init;
using test::Shared;
using test::Thread;

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

// Threads that their processes count alike are not taken for one another.
TEST(ProcessShared, HoldersOfDifferentProcessesAreDifferent) {
  for (int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
    struct State {
      pthread_mutex_t mutex;
      pthread_rwlock_t rwlock;
    };
    Shared<State> shared;
    Init(&shared->mutex, {.type = type, .pshared = PTHREAD_PROCESS_SHARED});
    pthread_rwlockattr_t attr;
    ASSERT_EQ(pthread_rwlockattr_init(&attr), 0);
    ASSERT_EQ(pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), 0);
    ASSERT_EQ(pthread_rwlock_init(&shared->rwlock, &attr), 0);
    int held[2], done[2];
    ASSERT_EQ(pipe(held), 0);
    ASSERT_EQ(pipe(done), 0);
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    char byte = 0;
    if (child == 0) {
      alarm(test::kChildSeconds);
      close(done[1]);
      Thread holder([&]() -> void* {
        if (pthread_mutex_lock(&shared->mutex) != 0 || pthread_rwlock_wrlock(&shared->rwlock) != 0) _exit(1);
        if (write(held[1], "h", 1) != 1) _exit(2);
        if (read(done[0], &byte, 1) != 0) _exit(3);
        if (pthread_rwlock_unlock(&shared->rwlock) != 0 || pthread_mutex_unlock(&shared->mutex) != 0) _exit(4);
        return nullptr;
      });
      holder.Join();
      _exit(0);
    }
    ASSERT_EQ(read(held[0], &byte, 1), 1);
    Thread other([&]() -> void* {
      EXPECT_EQ(pthread_mutex_trylock(&shared->mutex), EBUSY) << type;
      EXPECT_EQ(pthread_rwlock_tryrdlock(&shared->rwlock), EBUSY);
      EXPECT_EQ(pthread_rwlock_trywrlock(&shared->rwlock), EBUSY);
      timespec past = {1, 0};
      EXPECT_EQ(pthread_mutex_timedlock(&shared->mutex, &past), ETIMEDOUT) << type;
      EXPECT_EQ(pthread_rwlock_timedrdlock(&shared->rwlock, &past), ETIMEDOUT);
      EXPECT_EQ(pthread_rwlock_timedwrlock(&shared->rwlock, &past), ETIMEDOUT);
      return nullptr;
    });
    other.Join();
    close(done[1]);
    EXPECT_TRUE(test::Exited(test::WaitFor(child), 0));
    EXPECT_EQ(pthread_mutex_trylock(&shared->mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&shared->mutex), 0);
    for (int fd : {held[0], held[1], done[0]}) close(fd);
  }
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
