// SPDX-License-Identifier: Apache-2.0
// Tests joins whose joiner, or whose target, is cancelled, or runs handlers meanwhile.
#include <errno.h>

#include "signals.h"

namespace {

using test::Thread;

void* JoinIt(void* thread) {
  pthread_join(reinterpret_cast<pthread_t>(thread), nullptr);
  return nullptr;
}

// They wait for each other until one is cancelled: no deadlock, whether it has noticed or not.
TEST(JoinCancel, OfACancelledThreadThatJoinsTheCaller) {
  for (int i = 0; i < 50; ++i) {
    pthread_t joiner;
    void* result = nullptr;
    ASSERT_EQ(pthread_create(&joiner, nullptr, JoinIt, reinterpret_cast<void*>(pthread_self())), 0);
    if (i % 2 == 0) usleep(1000);
    EXPECT_EQ(pthread_cancel(joiner), 0);
    EXPECT_EQ(pthread_join(joiner, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
  }
}

TEST(JoinCancel, LeavesTheTargetToAnother) {
  for (int i = 0; i < 50; ++i) {
    std::atomic<bool> end = false;
    Thread target([&]() -> void* {
      while (!end) usleep(100);
      return &end;
    });
    pthread_t joiner;
    ASSERT_EQ(pthread_create(&joiner, nullptr, JoinIt, reinterpret_cast<void*>(target.id())), 0);
    if (i % 2 == 0) usleep(500);
    EXPECT_EQ(pthread_cancel(joiner), 0);
    if (i % 3 == 0) end = true;
    void* result = nullptr;
    EXPECT_EQ(pthread_join(joiner, &result), 0);
    end = true;
    if (result == PTHREAD_CANCELED) {
      EXPECT_EQ(target.Join(), &end);
    } else {
      target.Release();
    }
  }
}

// While the joiner is in a handler nobody else may join or detach, though the target ends.
std::atomic<bool> in_handler, may_return;
void Stay(int) {
  const int saved = errno;
  in_handler = true;
  while (!may_return) usleep(100);
  errno = saved;
}

TEST(JoinCancel, HoldsTheTargetWhileAHandlerRuns) {
  test::Handler handler(SIGUSR1, Stay);
  for (int i = 0; i < 20; ++i) {
    in_handler = may_return = false;
    std::atomic<bool> end = false;
    std::atomic<int> result = -1;
    Thread target([&]() -> void* {
      while (!end) usleep(100);
      return &end;
    });
    void* value = nullptr;
    Thread joiner([&] {
      result = pthread_join(target.id(), &value);
      return nullptr;
    });
    test::SleepMs(2);
    EXPECT_EQ(pthread_kill(joiner.id(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return in_handler.load(); }));
    const timespec now = test::In(CLOCK_REALTIME, 0);
    const int error = pthread_timedjoin_np(target.id(), nullptr, &now);
    if (error != ETIMEDOUT) {  // the handler ran before the join
      EXPECT_EQ(error, EINVAL);
      EXPECT_EQ(pthread_detach(target.id()), EINVAL);
      end = true;
      usleep(500);
      EXPECT_EQ(pthread_timedjoin_np(target.id(), nullptr, &now), EINVAL);
    }
    end = true;
    may_return = true;
    joiner.Join();
    target.Release();
    EXPECT_EQ(result, 0);
    EXPECT_EQ(value, &end);
  }
}

}  // namespace
