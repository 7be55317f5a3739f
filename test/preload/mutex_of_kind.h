// SPDX-License-Identifier: Apache-2.0
// A mutex of a given kind.
#ifndef TEST_PRELOAD_MUTEX_OF_KIND_H_
#define TEST_PRELOAD_MUTEX_OF_KIND_H_

#include "util.h"

namespace test {

// A mutex made with an attribute of the given kind.
class Mutex {
 public:
  explicit Mutex(int kind) {
    pthread_mutexattr_t attr;
    EXPECT_EQ(pthread_mutexattr_init(&attr), 0);
    EXPECT_EQ(pthread_mutexattr_settype(&attr, kind), 0);
    EXPECT_EQ(pthread_mutex_init(&mutex_, &attr), 0);
    EXPECT_EQ(pthread_mutexattr_destroy(&attr), 0);
  }
  ~Mutex() { EXPECT_EQ(pthread_mutex_destroy(&mutex_), 0); }
  pthread_mutex_t* get() { return &mutex_; }

 private:
  pthread_mutex_t mutex_;
};

}  // namespace test

#endif  // TEST_PRELOAD_MUTEX_OF_KIND_H_
