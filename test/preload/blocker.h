// SPDX-License-Identifier: Apache-2.0
// Threads that block in another way each round.
#ifndef TEST_PRELOAD_BLOCKER_H_
#define TEST_PRELOAD_BLOCKER_H_

#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include <vector>

#include "util.h"

namespace test {

inline constexpr int kThreads = 12;
inline constexpr int kRounds = 300;

// A call that makes the thread block or give way, another kind each round.
class Blocker {
 public:
  Blocker() { sem_init(&sem_, 0, kThreads / 2); }
  ~Blocker() { sem_destroy(&sem_); }

  void Block(int round) {
    switch (round % 8) {
      case 0:
        sched_yield();
        break;
      case 1:
        pthread_mutex_lock(&mutex_);
        sched_yield();
        pthread_mutex_unlock(&mutex_);
        break;
      case 2: {
        const timespec deadline = test::FromNs(test::NowNs() + 20'000);
        pthread_mutex_lock(&mutex_);
        pthread_cond_clockwait(&cond_, &mutex_, CLOCK_MONOTONIC, &deadline);
        pthread_cond_signal(&cond_);
        pthread_mutex_unlock(&mutex_);
        break;
      }
      case 3:
        while (sem_wait(&sem_) != 0) {
        }
        sched_yield();
        sem_post(&sem_);
        break;
      case 4:
        usleep(1);
        break;
      case 5:
        pthread_rwlock_wrlock(&rwlock_);
        sched_yield();
        pthread_rwlock_unlock(&rwlock_);
        break;
      case 6: {
        Thread thread([] { return nullptr; });
        break;
      }
      case 7: {
        // A system call that sleeps in the kernel where no interposer may look.
        const timespec time = {.tv_sec = 0, .tv_nsec = 1'000};
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, nullptr);
        break;
      }
    }
  }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond_ = PTHREAD_COND_INITIALIZER;
  pthread_rwlock_t rwlock_ = PTHREAD_RWLOCK_INITIALIZER;
  sem_t sem_;
};

// Runs body(thread, round) kRounds times in each of kThreads threads, a blocking call between each.
template <typename Body>
void Torture(Body body) {
  Blocker blocker;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) body(t, i, [&] { blocker.Block(t + i); });
      return nullptr;
    });
  }
}

}  // namespace test

#endif  // TEST_PRELOAD_BLOCKER_H_
