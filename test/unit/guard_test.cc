// SPDX-License-Identifier: Apache-2.0
// Tests call_guarded: the guard runs when the call is left by unwinding, of whatever kind, and only then.
#include "runtime/sync/guard.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/init/init.h"
#include "runtime/thread/thread.h"

namespace {

std::vector<int> events;

void Undo(void* number) {
  events.push_back(*static_cast<int*>(number));
}

std::atomic<bool> guarded{false};
int one = 1;
int two = 2;

class Guarded : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(mn::on());
    events.clear();
  }
  void TearDown() override { EXPECT_EQ(mn::self_g()->guards, nullptr); }
};

TEST_F(Guarded, NotRunOnReturn) {
  int argument = 7;
  mn::call_guarded([](void* arg) { events.push_back(*static_cast<int*>(arg)); }, &argument, Undo, &one);
  EXPECT_EQ(events, std::vector<int>{7});
}

TEST_F(Guarded, RunByAnExceptionThatGoesOn) {
  std::string caught;
  try {
    mn::call_guarded([](void*) { throw std::runtime_error("through"); }, nullptr, Undo, &one);
  } catch (const std::runtime_error& e) {
    caught = e.what();
    events.push_back(9);
  }
  EXPECT_EQ(caught, "through");
  EXPECT_EQ(events, (std::vector<int>{1, 9}));
}

TEST_F(Guarded, NotRunByAnExceptionCaughtInside) {
  mn::call_guarded(
      [](void*) {
        try {
          throw std::runtime_error("inside");
        } catch (const std::exception&) {
        }
      },
      nullptr, Undo, &one);
  EXPECT_TRUE(events.empty());
}

TEST_F(Guarded, InnermostFirst) {
  struct Local {
    ~Local() { events.push_back(5); }
  };
  auto inner = [](void*) {
    Local local;
    throw std::logic_error("both");
  };
  auto outer = [](void* in) { mn::call_guarded(reinterpret_cast<void (*)(void*)>(in), nullptr, Undo, &two); };
  void (*inner_function)(void*) = inner;
  EXPECT_THROW(mn::call_guarded(outer, reinterpret_cast<void*>(inner_function), Undo, &one), std::logic_error);
  EXPECT_EQ(events, (std::vector<int>{5, 2, 1}));
}

TEST_F(Guarded, OuterRemainsWhenTheInnerReturned) {
  auto outer = [](void*) {
    mn::call_guarded([](void*) {}, nullptr, Undo, &two);
    throw std::logic_error("later");
  };
  EXPECT_THROW(mn::call_guarded(outer, nullptr, Undo, &one), std::logic_error);
  EXPECT_EQ(events, std::vector<int>{1});
}

TEST_F(Guarded, RunByPthreadExit) {
  pthread_t thread;
  auto body = [](void*) -> void* {
    mn::call_guarded([](void*) { pthread_exit(&two); }, nullptr, Undo, &one);
    return nullptr;
  };
  void* result = nullptr;
  ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, &two);
  EXPECT_EQ(events, std::vector<int>{1});
}

TEST_F(Guarded, RunByCancellation) {
  pthread_t thread;
  auto body = [](void*) -> void* {
    mn::call_guarded(
        [](void*) {
          guarded.store(true);
          for (;;) pause();
        },
        nullptr, Undo, &one);
    return nullptr;
  };
  void* result = nullptr;
  ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
  while (!guarded.load()) sched_yield();
  ASSERT_EQ(pthread_cancel(thread), 0);
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED);
  EXPECT_EQ(events, std::vector<int>{1});
}

}  // namespace
