// SPDX-License-Identifier: Apache-2.0
// A mutex and its condition variable.
#ifndef TEST_PRELOAD_MONITOR_H_
#define TEST_PRELOAD_MONITOR_H_

#include "util.h"

namespace test {

// A mutex and a condition variable that measures by `clock`.
struct Monitor {
  explicit Monitor(clockid_t clock = CLOCK_REALTIME) {
    pthread_condattr_t attr;
    EXPECT_EQ(pthread_condattr_init(&attr), 0);
    EXPECT_EQ(pthread_condattr_setclock(&attr, clock), 0);
    EXPECT_EQ(pthread_cond_init(&cond, &attr), 0);
    EXPECT_EQ(pthread_condattr_destroy(&attr), 0);
    EXPECT_EQ(pthread_mutex_init(&mutex, nullptr), 0);
  }
  ~Monitor() {
    EXPECT_EQ(pthread_cond_destroy(&cond), 0);
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
  }
  void Lock() { EXPECT_EQ(pthread_mutex_lock(&mutex), 0); }
  void Unlock() { EXPECT_EQ(pthread_mutex_unlock(&mutex), 0); }
  void Wait() { EXPECT_EQ(pthread_cond_wait(&cond, &mutex), 0); }
  void Signal() { EXPECT_EQ(pthread_cond_signal(&cond), 0); }
  void Broadcast() { EXPECT_EQ(pthread_cond_broadcast(&cond), 0); }

  pthread_mutex_t mutex;
  pthread_cond_t cond;
};

}  // namespace test

#endif  // TEST_PRELOAD_MONITOR_H_
