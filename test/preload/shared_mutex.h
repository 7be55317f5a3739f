// SPDX-License-Identifier: Apache-2.0
// Mutexes by all their attributes, and memory that forked processes share.
#ifndef TEST_PRELOAD_SHARED_MUTEX_H_
#define TEST_PRELOAD_SHARED_MUTEX_H_

#include <sys/mman.h>

#include "util.h"

namespace test {

struct MutexOptions {
  int type = PTHREAD_MUTEX_NORMAL;
  int protocol = PTHREAD_PRIO_NONE;
  int robust = PTHREAD_MUTEX_STALLED;
  int pshared = PTHREAD_PROCESS_PRIVATE;
};

inline void Init(pthread_mutex_t* mutex, const MutexOptions& options) {
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

}  // namespace test

#endif  // TEST_PRELOAD_SHARED_MUTEX_H_
