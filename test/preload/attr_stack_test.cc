// SPDX-License-Identifier: Apache-2.0
// Tests stacks of every size and origin, and their guards.
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <vector>

#include "attr.h"
#include "util.h"

namespace {

using test::Attr;
using test::Described;
using test::Thread;

TEST_F(Attr, StackOfADefaultThread) {
  size_t wanted = 0;
  EXPECT_EQ(pthread_attr_getstacksize(&attr_, &wanted), 0);
  Thread([&] {
    int local = 0;
    const Described me;
    EXPECT_TRUE(me.Contains(&local));
    EXPECT_GE(me.size, wanted);
    EXPECT_EQ(me.guard, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    EXPECT_EQ(me.detached, PTHREAD_CREATE_JOINABLE);
    EXPECT_EQ(me.inherit, PTHREAD_INHERIT_SCHED);
    EXPECT_EQ(me.policy, SCHED_OTHER);
    EXPECT_EQ(me.scope, PTHREAD_SCOPE_SYSTEM);
    return nullptr;
  });
}

TEST_F(Attr, StackOfMain) {
  Thread([] { return nullptr; });
  int local = 0;
  const Described me;
  EXPECT_TRUE(me.Contains(&local));
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  if (limit.rlim_cur != RLIM_INFINITY) {
    EXPECT_LE(me.size, limit.rlim_cur);
    EXPECT_GT(me.size, limit.rlim_cur / 2);
  }
}

TEST_F(Attr, StackOfMainSeenFromAThread) {
  int local = 0;
  const pthread_t main_thread = pthread_self();
  Thread([&] {
    EXPECT_TRUE(Described(main_thread).Contains(&local));
    return nullptr;
  });
}

TEST_F(Attr, StackSizes) {
  for (const size_t size : {static_cast<size_t>(PTHREAD_STACK_MIN) + (48 << 10), size_t{100'000}, size_t{1} << 20,
                            size_t{3} << 20, size_t{64} << 20}) {
    ASSERT_EQ(pthread_attr_setstacksize(&attr_, size), 0);
    size_t remembered = 0;
    EXPECT_EQ(pthread_attr_getstacksize(&attr_, &remembered), 0);
    EXPECT_EQ(remembered, size);
    Thread(
        [size] {
          int local = 0;
          const Described me;
          EXPECT_TRUE(me.Contains(&local));
          // Whole pages, and it may be a larger one from the cache.
          const size_t page = sysconf(_SC_PAGESIZE);
          EXPECT_GE(me.size, size / page * page);
          return nullptr;
        },
        &attr_);
  }
}

// Uses at least `bytes` of stack.
size_t Use(size_t bytes) {
  volatile char frame[1024];
  memset(const_cast<char*>(frame), 1, sizeof frame);
  if (bytes <= sizeof frame) return frame[0];
  return Use(bytes - sizeof frame) + frame[bytes % sizeof frame];
}

TEST_F(Attr, AllOfTheStackIsUsable) {
  for (const size_t size : {size_t{64} << 10, size_t{256} << 10, size_t{2} << 20}) {
    ASSERT_EQ(pthread_attr_setstacksize(&attr_, size), 0);
    for (int i = 0; i < 3; ++i) {
      Thread(
          [size] {
            // The rest holds TLS (32 KiB of it are the identity test's) and the frames above.
            EXPECT_GT(Use((size - 48 * 1024) * 9 / 10), 0u);
            return nullptr;
          },
          &attr_);
    }
  }
}

TEST_F(Attr, MinimalStacks) {
  // glibc takes static TLS from the stack, so ask for room for it on top.
  ASSERT_EQ(pthread_attr_setstacksize(&attr_, PTHREAD_STACK_MIN + (48 << 10)), 0);
  std::vector<Thread> threads;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int count = 0;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back(
        [&] {
          pthread_mutex_lock(&mutex);
          ++count;
          usleep(10);
          pthread_mutex_unlock(&mutex);
          return nullptr;
        },
        &attr_);
  }
  threads.clear();
  EXPECT_EQ(count, 50);
}

TEST_F(Attr, DeepRecursion) {
  // As much of the default 8 MiB as a careful program would use.
  size_t size = 0;
  EXPECT_EQ(pthread_attr_getstacksize(&attr_, &size), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attr_, 8 << 20), 0);
  std::vector<Thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back(
        [] {
          EXPECT_GT(Use(6 << 20), 0u);
          sched_yield();
          EXPECT_GT(Use(6 << 20), 0u);
          return nullptr;
        },
        &attr_);
  }
}

TEST_F(Attr, GuardSizes) {
  const size_t page = sysconf(_SC_PAGESIZE);
  for (const size_t guard : {size_t{0}, size_t{1}, page, 16 * page}) {
    ASSERT_EQ(pthread_attr_setguardsize(&attr_, guard), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attr_, 1 << 20), 0);
    size_t remembered = 1;
    EXPECT_EQ(pthread_attr_getguardsize(&attr_, &remembered), 0);
    EXPECT_EQ(remembered, guard);
    Thread(
        [guard, page] {
          int local = 0;
          const Described me;
          EXPECT_TRUE(me.Contains(&local));
          EXPECT_EQ(me.guard, (guard + page - 1) / page * page);
          return nullptr;
        },
        &attr_);
  }
}

TEST_F(Attr, TheGuardFaults) {
  ASSERT_EQ(pthread_attr_setstacksize(&attr_, 256 << 10), 0);
  Thread([] { return nullptr; });
  EXPECT_TRUE(test::Killed(test::RunChild([&] {
                             const rlimit no_core = {0, 0};
                             setrlimit(RLIMIT_CORE, &no_core);
                             Thread(
                                 [] {
                                   const Described me;
                                   volatile char* const low = static_cast<char*>(me.base);
                                   // glibc counts the guard as part of the stack, POSIX does not.
                                   for (size_t i = 0; i <= me.guard + 4096; i += 64) {
                                     low[static_cast<ptrdiff_t>(me.guard) - static_cast<ptrdiff_t>(i)] = 1;
                                   }
                                   return nullptr;
                                 },
                                 &attr_);
                             return 0;
                           }),
                           SIGSEGV));
}

TEST_F(Attr, StackOfTheUsersOwn) {
  static constexpr size_t kSize = 512 << 10;
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  memset(memory, 0x3c, kSize);  // Stacks need not be zero.
  ASSERT_EQ(pthread_attr_setstack(&attr_, memory, kSize), 0);
  void* base = nullptr;
  size_t size = 0;
  EXPECT_EQ(pthread_attr_getstack(&attr_, &base, &size), 0);
  EXPECT_EQ(base, memory);
  EXPECT_EQ(size, kSize);
  for (int i = 0; i < 20; ++i) {
    // One after the other on the same stack: nothing may be left there once joined.
    Thread thread(
        [memory]() -> void* {
          volatile int local = 0;
          EXPECT_GE(&local, memory);
          EXPECT_LT(reinterpret_cast<volatile char*>(&local), static_cast<char*>(memory) + kSize);
          const Described me;
          EXPECT_TRUE(me.Contains(&local));
          EXPECT_EQ(me.base, memory);
          EXPECT_EQ(me.size, kSize);
          EXPECT_GT(Use(200 << 10), 0u);
          usleep(10);
          return memory;
        },
        &attr_);
    EXPECT_EQ(thread.Join(), memory);
    memset(memory, i, kSize);
  }
  EXPECT_EQ(munmap(memory, kSize), 0);
}

TEST_F(Attr, UserStacksOfManyThreads) {
  static constexpr size_t kSize = 128 << 10;
  constexpr int kThreads = 20;
  void* memory = mmap(nullptr, kSize * kThreads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::vector<Thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    char* mine = static_cast<char*>(memory) + i * kSize;
    ASSERT_EQ(pthread_attr_setstack(&attr_, mine, kSize), 0);
    threads.emplace_back(
        [mine] {
          for (int k = 0; k < 10; ++k) {
            volatile char local = 0;
            EXPECT_TRUE(&local >= mine && &local < mine + kSize);
            sched_yield();
          }
          return nullptr;
        },
        &attr_);
  }
  threads.clear();
  EXPECT_EQ(munmap(memory, kSize * kThreads), 0);
}

TEST_F(Attr, ImpossibleStacksFailCleanly) {
  ASSERT_EQ(pthread_attr_setstacksize(&attr_, size_t{1} << 47), 0);
  for (int i = 0; i < 20; ++i) {
    pthread_t thread;
    EXPECT_EQ(pthread_create(
                  &thread, &attr_, [](void* p) { return p; }, nullptr),
              EAGAIN);
  }
  Thread([] { return nullptr; });
}

}  // namespace
