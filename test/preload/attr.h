// SPDX-License-Identifier: Apache-2.0
// An attribute object, and what a thread says of its own.
#ifndef TEST_PRELOAD_ATTR_H_
#define TEST_PRELOAD_ATTR_H_

#include "util.h"

namespace test {

// What pthread_getattr_np() says of a thread.
struct Described {
  explicit Described(pthread_t thread = pthread_self()) {
    pthread_attr_t attr;
    EXPECT_EQ(pthread_getattr_np(thread, &attr), 0);
    EXPECT_EQ(pthread_attr_getstack(&attr, &base, &size), 0);
    EXPECT_EQ(pthread_attr_getguardsize(&attr, &guard), 0);
    EXPECT_EQ(pthread_attr_getdetachstate(&attr, &detached), 0);
    EXPECT_EQ(pthread_attr_getinheritsched(&attr, &inherit), 0);
    EXPECT_EQ(pthread_attr_getschedpolicy(&attr, &policy), 0);
    EXPECT_EQ(pthread_attr_getscope(&attr, &scope), 0);
    EXPECT_EQ(pthread_attr_destroy(&attr), 0);
  }
  bool Contains(const volatile void* address) const {
    return address >= base && address < static_cast<char*>(base) + size;
  }

  void* base = nullptr;
  size_t size = 0;
  size_t guard = 0;
  int detached = -1;
  int inherit = -1;
  int policy = -1;
  int scope = -1;
};

class Attr : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pthread_attr_init(&attr_), 0); }
  void TearDown() override { EXPECT_EQ(pthread_attr_destroy(&attr_), 0); }

  pthread_attr_t attr_;
};

}  // namespace test

#endif  // TEST_PRELOAD_ATTR_H_
