// SPDX-License-Identifier: Apache-2.0
// Tests pthread_join in all its forms.
#include <vector>

#include "thread_values.h"
#include "util.h"

namespace {

using test::Echo;
using test::Gate;
using test::In;
using test::NowNs;
using test::Tag;
using test::Thread;

TEST(Thread, JoinGivesTheReturnValue) {
  for (uintptr_t i = 0; i < 200; ++i) {
    pthread_t id;
    ASSERT_EQ(pthread_create(&id, nullptr, &Echo, Tag(i * 0x1'0000'0001)), 0);
    void* result = nullptr;
    ASSERT_EQ(pthread_join(id, &result), 0);
    ASSERT_EQ(result, Tag(i * 0x1'0000'0001));
  }
}

TEST(Thread, JoinMayDropTheResult) {
  pthread_t id;
  ASSERT_EQ(pthread_create(&id, nullptr, &Echo, Tag(1)), 0);
  EXPECT_EQ(pthread_join(id, nullptr), 0);
}

TEST(Thread, JoinInAnyOrder) {
  std::vector<Thread> threads;
  for (int i = 0; i < 50; ++i) threads.emplace_back([i] { return Tag(i); });
  for (int i = 49; i >= 0; i -= 2) EXPECT_EQ(threads[i].Join(), Tag(i));
  for (int i = 0; i < 50; i += 2) EXPECT_EQ(threads[i].Join(), Tag(i));
}

TEST(Thread, JoinSeesWhatTheThreadWrote) {
  for (int i = 0; i < 500; ++i) {
    int written = 0;
    Thread writer([&written, i] {
      written = i + 1;
      return nullptr;
    });
    writer.Join();
    ASSERT_EQ(written, i + 1);
  }
}

TEST(Thread, JoinBlocksUntilTheEnd) {
  Gate gate;
  std::atomic<bool> ended = false;
  Thread slow([&] {
    gate.Wait();
    test::SleepMs(20);
    ended = true;
    return Tag(7);
  });
  Thread joiner([&] {
    void* result = nullptr;
    EXPECT_EQ(pthread_join(slow.id(), &result), 0);
    EXPECT_TRUE(ended);
    return result;
  });
  EXPECT_FALSE(ended);
  gate.Open();
  EXPECT_EQ(joiner.Join(), Tag(7));
  slow.Release();
}

TEST(Thread, JoinSelfIsDeadlock) {
  EXPECT_EQ(pthread_join(pthread_self(), nullptr), EDEADLK);
  Thread thread([] {
    EXPECT_EQ(pthread_join(pthread_self(), nullptr), EDEADLK);
    return Tag(3);
  });
  EXPECT_EQ(thread.Join(), Tag(3));
}

TEST(Thread, JoinOfADetachedThreadIsInvalid) {
  Gate gate;
  std::atomic<bool> ended = false;
  Thread thread([&] {
    gate.Wait();
    ended = true;
    return nullptr;
  });
  EXPECT_EQ(pthread_detach(thread.id()), 0);
  EXPECT_EQ(pthread_join(thread.id(), nullptr), EINVAL);
  EXPECT_EQ(pthread_tryjoin_np(thread.id(), nullptr), EBUSY);
  const timespec later = In(CLOCK_REALTIME, 1000);
  EXPECT_EQ(pthread_timedjoin_np(thread.id(), nullptr, &later), EINVAL);
  EXPECT_EQ(pthread_detach(thread.id()), EINVAL);
  thread.Release();
  gate.Open();
  EXPECT_TRUE(test::Eventually([&] { return ended.load(); }));
}

TEST(Thread, TryJoin) {
  Gate gate;
  Thread thread([&] {
    gate.Wait();
    return Tag(11);
  });
  void* result = Tag(1);
  EXPECT_EQ(pthread_tryjoin_np(thread.id(), &result), EBUSY);
  EXPECT_EQ(result, Tag(1));
  gate.Open();
  EXPECT_TRUE(test::Eventually([&] { return pthread_tryjoin_np(thread.id(), &result) == 0; }));
  EXPECT_EQ(result, Tag(11));
  thread.Release();
}

TEST(Thread, TimedJoin) {
  Gate gate;
  Thread thread([&] {
    gate.Wait();
    return Tag(12);
  });
  void* result = Tag(1);
  timespec deadline = In(CLOCK_REALTIME, 20);
  EXPECT_EQ(pthread_timedjoin_np(thread.id(), &result, &deadline), ETIMEDOUT);
  EXPECT_GE(NowNs(CLOCK_REALTIME), test::ToNs(deadline));
  EXPECT_EQ(result, Tag(1));
  deadline = In(CLOCK_REALTIME, -1000);
  EXPECT_EQ(pthread_timedjoin_np(thread.id(), &result, &deadline), ETIMEDOUT);
  gate.Open();
  deadline = In(CLOCK_REALTIME, 20'000);
  EXPECT_EQ(pthread_timedjoin_np(thread.id(), &result, &deadline), 0);
  EXPECT_EQ(result, Tag(12));
  thread.Release();
}

TEST(Thread, TimedJoinRejectsOtherClocksAndItself) {
  Gate gate;
  Thread thread([&] {
    gate.Wait();
    return nullptr;
  });
  const timespec good = In(CLOCK_REALTIME, 1000);
  EXPECT_EQ(pthread_clockjoin_np(thread.id(), nullptr, CLOCK_PROCESS_CPUTIME_ID, &good), EINVAL);
  EXPECT_EQ(pthread_timedjoin_np(pthread_self(), nullptr, &good), EDEADLK);
  const timespec negative = {.tv_sec = -5, .tv_nsec = 0};
  EXPECT_EQ(pthread_timedjoin_np(thread.id(), nullptr, &negative), ETIMEDOUT);
  gate.Open();
}

TEST(Thread, TimedJoinWithoutATimeWaits) {
  Thread thread([] {
    test::SleepMs(10);
    return Tag(13);
  });
  void* result = nullptr;
  EXPECT_EQ(pthread_timedjoin_np(thread.id(), &result, nullptr), 0);
  EXPECT_EQ(result, Tag(13));
  thread.Release();
}

TEST(Thread, ClockJoinWithBothClocks) {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
    Gate gate;
    Thread thread([&] {
      gate.Wait();
      return Tag(14);
    });
    timespec deadline = In(clock, 20);
    void* result = nullptr;
    EXPECT_EQ(pthread_clockjoin_np(thread.id(), &result, clock, &deadline), ETIMEDOUT);
    EXPECT_GE(NowNs(clock), test::ToNs(deadline));
    gate.Open();
    deadline = In(clock, 20'000);
    EXPECT_EQ(pthread_clockjoin_np(thread.id(), &result, clock, &deadline), 0);
    EXPECT_EQ(result, Tag(14));
    thread.Release();
  }
}

TEST(Thread, AThreadThatWasTimedOutOnCanStillBeJoined) {
  Gate gate;
  Thread thread([&] {
    gate.Wait();
    return Tag(15);
  });
  for (int i = 0; i < 5; ++i) {
    const timespec deadline = In(CLOCK_MONOTONIC, 2);
    EXPECT_EQ(pthread_clockjoin_np(thread.id(), nullptr, CLOCK_MONOTONIC, &deadline), ETIMEDOUT);
  }
  gate.Open();
  EXPECT_EQ(thread.Join(), Tag(15));
}

TEST(Thread, CreateAndJoinFromManyThreadsAtOnce) {
  std::vector<Thread> parents;
  std::atomic<int> children = 0;
  for (int p = 0; p < 8; ++p) {
    parents.emplace_back([&children] {
      for (int i = 0; i < 200; ++i) {
        Thread child([&children] {
          children.fetch_add(1);
          return nullptr;
        });
      }
      return nullptr;
    });
  }
  parents.clear();
  EXPECT_EQ(children, 1600);
}

TEST(Thread, JoinedByAThreadThatIsNotTheCreator) {
  constexpr int kThreads = 100;
  std::vector<Thread> workers;
  for (int i = 0; i < kThreads; ++i) workers.emplace_back([i] { return Tag(i); });
  std::vector<Thread> joiners;
  for (int i = 0; i < kThreads; ++i) {
    joiners.emplace_back([&workers, i] {
      void* result = nullptr;
      EXPECT_EQ(pthread_join(workers[i].id(), &result), 0);
      workers[i].Release();
      return result;
    });
  }
  for (int i = 0; i < kThreads; ++i) EXPECT_EQ(joiners[i].Join(), Tag(i));
}

}  // namespace
