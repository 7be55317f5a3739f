// SPDX-License-Identifier: Apache-2.0
// Tests that the runtime, when it dies of a broken invariant, first prints what all threads were doing. With a
// scheduler that runs, so not under the sanitizers.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>

#include "runtime/init/init.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/thread.h"

namespace {

void* WaitForEver(void* begun) {
  mn::enter();
  mn::wait_if(begun, {.kind = mn::WaitKind::kSem}, [begun] {
    static_cast<std::atomic<int>*>(begun)->fetch_add(1, std::memory_order_relaxed);
    return true;
  });
  mn::leave();
  return nullptr;
}

void StartTwo(std::atomic<int>* begun) {
  if (!mn::on()) exit(1);
  for (int i = 0; i < 2; ++i) {
    pthread_t thread;
    if (mn::thread_create(&thread, nullptr, WaitForEver, begun) != 0) exit(1);
  }
  while (begun->load(std::memory_order_relaxed) != 2) mn::thread_yield();
}

TEST(FatalDumpDeathTest, ShowsAllThreads) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::atomic<int> begun{0};
  EXPECT_EXIT(
      {
        StartTwo(&begun);
        mn::fatal("the test wants it", "here");
      },
      testing::KilledBySignal(SIGABRT),
      "libmn: fatal: the test wants it .here.\n"
      "libmn: dump of process .*: fatal error\n.*"
      "main thread .*fatal.*"
      "thread 1 .*waiting for semaphore.*\n.*WaitForEver.*"
      "thread 2 .*waiting for semaphore.*\n.*WaitForEver.*"
      "libmn: end of dump\n");
}

TEST(FatalDumpDeathTest, WithTheLockHeldThatTheOthersNeed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::atomic<int> begun{0};
  EXPECT_EXIT(
      {
        StartTwo(&begun);
        mn::enter();
        mn::bucket_of(&begun)->lock.lock();
        mn::fatal("the test wants it", "here");
      },
      testing::KilledBySignal(SIGABRT), "dump of process .*thread 1 .*thread 2 .*libmn: end of dump\n");
}

TEST(FatalDumpDeathTest, WithoutThreadsThereIsNoneAndNoWaiting) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        if (!mn::on()) exit(1);
        mn::fatal("the test wants it", "here");
      },
      testing::KilledBySignal(SIGABRT), "^libmn: fatal: the test wants it .here.\n$");
}

}  // namespace
