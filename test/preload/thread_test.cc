// SPDX-License-Identifier: Apache-2.0
// Tests the life of a thread: create, detach, exit, self and equal.
#include <sched.h>

#include <array>
#include <set>
#include <vector>

#include "thread_values.h"
#include "util.h"

namespace {

using test::Gate;
using test::HereAndInAThread;
using test::Tag;
using test::Thread;

TEST(Thread, ManyAtOnceEachRunsOnce) {
  constexpr int kThreads = 300;
  std::array<std::atomic<int>, kThreads> runs{};
  std::vector<Thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&runs, i] {
      runs[i].fetch_add(1);
      return Tag(i);
    });
  }
  for (int i = 0; i < kThreads; ++i) EXPECT_EQ(threads[i].Join(), Tag(i));
  for (auto& count : runs) EXPECT_EQ(count.load(), 1);
}

TEST(Thread, ThreadsMakeThreads) {
  // A chain 100 deep, each joining the next.
  std::function<uintptr_t(int)> dig = [&dig](int depth) -> uintptr_t {
    if (depth == 0) return 1;
    Thread deeper([&dig, depth] { return Tag(dig(depth - 1)); });
    return reinterpret_cast<uintptr_t>(deeper.Join()) + 1;
  };
  EXPECT_EQ(dig(100), 101u);
}

TEST(Thread, TreeOfThreads) {
  std::function<uintptr_t(int)> grow = [&grow](int depth) -> uintptr_t {
    if (depth == 0) return 1;
    Thread left([&grow, depth] { return Tag(grow(depth - 1)); });
    Thread right([&grow, depth] { return Tag(grow(depth - 1)); });
    return reinterpret_cast<uintptr_t>(left.Join()) + reinterpret_cast<uintptr_t>(right.Join());
  };
  EXPECT_EQ(grow(8), 256u);
}

TEST(Thread, SelfIsTheIdThatCreateGave) {
  std::vector<Thread> threads;
  std::array<pthread_t, 20> seen{};
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&seen, i] {
      seen[i] = pthread_self();
      sched_yield();
      EXPECT_TRUE(pthread_equal(seen[i], pthread_self()));
      return nullptr;
    });
  }
  for (int i = 0; i < 20; ++i) {
    threads[i].Join();
    EXPECT_TRUE(pthread_equal(seen[i], threads[i].id()));
    EXPECT_FALSE(pthread_equal(seen[i], pthread_self()));
  }
}

TEST(Thread, CreateStoresTheIdBeforeTheThreadRunsOrReturns) {
  // The creator may read the id at once, and hand it to the thread itself.
  for (int i = 0; i < 200; ++i) {
    pthread_t id{};
    Gate gate;
    struct Shared {
      pthread_t* id;
      Gate* gate;
    } shared{&id, &gate};
    ASSERT_EQ(pthread_create(
                  &id, nullptr,
                  [](void* argument) -> void* {
                    auto* s = static_cast<Shared*>(argument);
                    s->gate->Wait();
                    return Tag(pthread_equal(*s->id, pthread_self()) ? 1 : 2);
                  },
                  &shared),
              0);
    gate.Open();
    void* result = nullptr;
    ASSERT_EQ(pthread_join(id, &result), 0);
    ASSERT_EQ(result, Tag(1));
  }
}

TEST(Thread, LiveThreadsHaveDistinctIds) {
  Gate gate;
  std::vector<Thread> threads;
  std::set<pthread_t> ids{pthread_self()};
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&gate] {
      gate.Wait();
      return nullptr;
    });
    EXPECT_TRUE(ids.insert(threads.back().id()).second);
  }
  gate.Open();
}

TEST(Thread, ExitGivesTheValueFromDeepInside) {
  std::function<void(int)> dive = [&dive](int depth) {
    if (depth == 0) pthread_exit(Tag(0xdead));
    dive(depth - 1);
  };
  Thread diver([&dive] {
    dive(50);
    ADD_FAILURE() << "pthread_exit returned";
    return nullptr;
  });
  EXPECT_EQ(diver.Join(), Tag(0xdead));
}

TEST(Thread, DetachWhileRunning) {
  std::atomic<int> ended = 0;
  Gate gate;
  for (int i = 0; i < 100; ++i) {
    Thread thread([&] {
      gate.Wait();
      ended.fetch_add(1);
      return nullptr;
    });
    EXPECT_EQ(pthread_detach(thread.id()), 0);
    thread.Release();
  }
  gate.Open();
  EXPECT_TRUE(test::Eventually([&] { return ended == 100; }));
}

TEST(Thread, DetachAfterTheEnd) {
  std::atomic<int> ended = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      ended.fetch_add(1);
      return nullptr;
    });
  }
  EXPECT_TRUE(test::Eventually([&] { return ended == 50; }));
  for (auto& thread : threads) {
    EXPECT_EQ(pthread_detach(thread.id()), 0);
    thread.Release();
  }
}

TEST(Thread, DetachSelf) {
  std::atomic<int> ended = 0;
  for (int i = 0; i < 100; ++i) {
    Thread thread([&] {
      EXPECT_EQ(pthread_detach(pthread_self()), 0);
      EXPECT_EQ(pthread_detach(pthread_self()), EINVAL);
      ended.fetch_add(1);
      return nullptr;
    });
    thread.Release();
  }
  EXPECT_TRUE(test::Eventually([&] { return ended == 100; }));
}

TEST(Thread, CreatedDetached) {
  pthread_attr_t attr;
  ASSERT_EQ(pthread_attr_init(&attr), 0);
  ASSERT_EQ(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
  std::atomic<int> ended = 0;
  Gate gate;
  for (int i = 0; i < 100; ++i) {
    Thread thread(
        [&] {
          gate.Wait();
          EXPECT_EQ(pthread_detach(pthread_self()), EINVAL);
          ended.fetch_add(1);
          return nullptr;
        },
        &attr);
    EXPECT_EQ(pthread_join(thread.id(), nullptr), EINVAL);
    thread.Release();
  }
  gate.Open();
  EXPECT_TRUE(test::Eventually([&] { return ended == 100; }));
  EXPECT_EQ(pthread_attr_destroy(&attr), 0);
}

TEST(Thread, ErrnoIsNotTouchedByFailures) {
  errno = 4711;
  EXPECT_EQ(pthread_join(pthread_self(), nullptr), EDEADLK);
  EXPECT_EQ(errno, 4711);
  Gate gate;
  Thread thread([&] {
    gate.Wait();
    return nullptr;
  });
  errno = 4711;
  EXPECT_EQ(pthread_tryjoin_np(thread.id(), nullptr), EBUSY);
  EXPECT_EQ(errno, 4711);
  gate.Open();
}

TEST(Thread, YieldingThreadsDoNotHoldUpAnother) {
  std::atomic<bool> stop = false;
  std::vector<Thread> yielders;
  for (int i = 0; i < 4; ++i) {
    yielders.emplace_back([&stop] {
      while (!stop) sched_yield();
      return Tag(1);
    });
  }
  Thread stopper([&stop] {
    for (int i = 0; i < 10; ++i) sched_yield();
    test::SleepMs(2);
    stop = true;
    return nullptr;
  });
  stopper.Join();
  for (auto& yielder : yielders) EXPECT_EQ(yielder.Join(), Tag(1));
}

TEST(Thread, ConcurrencyIsRemembered) {
  HereAndInAThread([&] {
    const int before = pthread_getconcurrency();
    EXPECT_EQ(pthread_setconcurrency(5), 0);
    EXPECT_EQ(pthread_getconcurrency(), 5);
    EXPECT_EQ(pthread_setconcurrency(-1), EINVAL);
    EXPECT_EQ(pthread_getconcurrency(), 5);
    EXPECT_EQ(pthread_setconcurrency(before), 0);
  });
}

TEST(Thread, ExitFromTheLastCleanupStillDeliversTheValue) {
  Thread thread([]() -> void* {
    pthread_cleanup_push([](void*) { sched_yield(); }, nullptr);
    pthread_exit(Tag(21));
    pthread_cleanup_pop(0);
  });
  EXPECT_EQ(thread.Join(), Tag(21));
}

}  // namespace
