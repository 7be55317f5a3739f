// SPDX-License-Identifier: Apache-2.0
// Threads in a process that may be a fork's child.
#ifndef TEST_PRELOAD_USE_THREADS_H_
#define TEST_PRELOAD_USE_THREADS_H_

#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>

#include <thread>
#include <vector>

#include "util.h"

namespace test {

// Makes threads, waits on each kind of object, and gives their number.
inline int UseThreads() {
  static constexpr int kThreads = 8;
  std::atomic<int> count = 0;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t sem;
  sem_init(&sem, 0, 0);
  bool go = false;
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        pthread_mutex_lock(&mutex);
        while (!go) pthread_cond_wait(&cond, &mutex);
        pthread_mutex_unlock(&mutex);
        sem_wait(&sem);
        usleep(100);
        free(malloc(1000));
        ++count;
      });
    }
    sched_yield();
    pthread_mutex_lock(&mutex);
    go = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < kThreads; ++i) sem_post(&sem);
    for (auto& thread : threads) thread.join();
  }
  sem_destroy(&sem);
  return count;
}

}  // namespace test

#endif  // TEST_PRELOAD_USE_THREADS_H_
