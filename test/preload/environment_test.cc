// SPDX-License-Identifier: Apache-2.0
// Creates a thread before every run of tests, so that each can prove that its threads were user-level ones, and so that
// tests of functions that need no thread run in a multi-threaded process. (first_op covers the single-threaded one.)
#include <gtest/gtest.h>
#include <pthread.h>

namespace {

class Threaded : public testing::Environment {
 public:
  void SetUp() override {
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, nullptr, [](void* arg) { return arg; }, this),
              0);
    void* result = nullptr;
    ASSERT_EQ(pthread_join(thread, &result), 0);
    ASSERT_EQ(result, this);
  }
};

testing::Environment* const environment = testing::AddGlobalTestEnvironment(new Threaded);

}  // namespace
