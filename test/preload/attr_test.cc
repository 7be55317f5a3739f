// SPDX-License-Identifier: Apache-2.0
// Tests thread attributes, stacks of every size and origin, and what pthread_getattr_np says.
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

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

TEST_F(Attr, Defaults) {
  test::HereAndInAThread([&] {
    pthread_attr_t attr;
    ASSERT_EQ(pthread_attr_init(&attr), 0);
    int value = -1;
    EXPECT_EQ(pthread_attr_getdetachstate(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_CREATE_JOINABLE);
    EXPECT_EQ(pthread_attr_getinheritsched(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_INHERIT_SCHED);
    EXPECT_EQ(pthread_attr_getscope(&attr, &value), 0);
    EXPECT_EQ(value, PTHREAD_SCOPE_SYSTEM);
    EXPECT_EQ(pthread_attr_getschedpolicy(&attr, &value), 0);
    EXPECT_EQ(value, SCHED_OTHER);
    size_t size = 0;
    EXPECT_EQ(pthread_attr_getguardsize(&attr, &size), 0);
    EXPECT_EQ(size, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    rlimit limit;
    ASSERT_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
    EXPECT_EQ(pthread_attr_getstacksize(&attr, &size), 0);
    if (limit.rlim_cur != RLIM_INFINITY) {
      EXPECT_EQ(size, limit.rlim_cur);
    }
    EXPECT_EQ(pthread_attr_destroy(&attr), 0);
  });
}

TEST_F(Attr, SettersRejectWhatTheyMust) {
  test::HereAndInAThread([&] {
    EXPECT_EQ(pthread_attr_setdetachstate(&attr_, 77), EINVAL);
    EXPECT_EQ(pthread_attr_setinheritsched(&attr_, 77), EINVAL);
    EXPECT_EQ(pthread_attr_setschedpolicy(&attr_, 77), EINVAL);
    EXPECT_EQ(pthread_attr_setscope(&attr_, 77), EINVAL);
    EXPECT_EQ(pthread_attr_setscope(&attr_, PTHREAD_SCOPE_PROCESS), ENOTSUP);
    EXPECT_EQ(pthread_attr_setstacksize(&attr_, 0), EINVAL);
    EXPECT_EQ(pthread_attr_setstacksize(&attr_, PTHREAD_STACK_MIN - 1), EINVAL);
    EXPECT_EQ(pthread_attr_setstack(&attr_, &attr_, 100), EINVAL);
  });
}

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

TEST_F(Attr, DetachState) {
  Gate gate;
  Thread thread([&] {
    gate.Wait();
    EXPECT_EQ(Described().detached, PTHREAD_CREATE_DETACHED);
    return nullptr;
  });
  EXPECT_EQ(Described(thread.id()).detached, PTHREAD_CREATE_JOINABLE);
  EXPECT_EQ(pthread_detach(thread.id()), 0);
  EXPECT_EQ(Described(thread.id()).detached, PTHREAD_CREATE_DETACHED);
  std::atomic<bool> seen = false;
  ASSERT_EQ(pthread_attr_setdetachstate(&attr_, PTHREAD_CREATE_DETACHED), 0);
  Thread detached(
      [&] {
        EXPECT_EQ(Described().detached, PTHREAD_CREATE_DETACHED);
        seen = true;
        return nullptr;
      },
      &attr_);
  detached.Release();
  thread.Release();
  gate.Open();
  EXPECT_TRUE(test::Eventually([&] { return seen.load(); }));
  test::SleepMs(5);
}

TEST_F(Attr, OneAttributeForManyThreads) {
  ASSERT_EQ(pthread_attr_setstacksize(&attr_, 128 << 10), 0);
  std::vector<Thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back(
        [] {
          EXPECT_GE(Described().size, size_t{128} << 10);
          return nullptr;
        },
        &attr_);
  }
}

TEST_F(Attr, AttributeMayGoAfterCreate) {
  pthread_attr_t attr;
  ASSERT_EQ(pthread_attr_init(&attr), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attr, 192 << 10), 0);
  Gate gate;
  Thread thread(
      [&] {
        gate.Wait();
        EXPECT_GE(Described().size, size_t{192} << 10);
        return nullptr;
      },
      &attr);
  EXPECT_EQ(pthread_attr_destroy(&attr), 0);
  memset(static_cast<void*>(&attr), 0xff, sizeof attr);
  gate.Open();
}

TEST_F(Attr, ExplicitSchedulingOfTheDefaultPolicy) {
  ASSERT_EQ(pthread_attr_setinheritsched(&attr_, PTHREAD_EXPLICIT_SCHED), 0);
  ASSERT_EQ(pthread_attr_setschedpolicy(&attr_, SCHED_OTHER), 0);
  Thread(
      [] {
        int policy = -1;
        sched_param param;
        EXPECT_EQ(pthread_getschedparam(pthread_self(), &policy, &param), 0);
        EXPECT_EQ(policy, SCHED_OTHER);
        EXPECT_EQ(param.sched_priority, 0);
        EXPECT_EQ(Described().inherit, PTHREAD_EXPLICIT_SCHED);
        return nullptr;
      },
      &attr_);
}

TEST_F(Attr, SchedulingParameters) {
  test::HereAndInAThread([] {
    int policy = -1;
    sched_param param = {.sched_priority = -1};
    EXPECT_EQ(pthread_getschedparam(pthread_self(), &policy, &param), 0);
    EXPECT_EQ(policy, SCHED_OTHER);
    EXPECT_EQ(param.sched_priority, 0);
    EXPECT_EQ(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param), 0);
    EXPECT_EQ(pthread_setschedprio(pthread_self(), 0), 0);
    param.sched_priority = 5;
    EXPECT_EQ(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param), EINVAL);
    EXPECT_EQ(pthread_setschedparam(pthread_self(), 77, &param), EINVAL);
    EXPECT_EQ(pthread_setschedprio(pthread_self(), 5), EINVAL);
  });
}

TEST_F(Attr, Affinity) {
  cpu_set_t process;
  ASSERT_EQ(sched_getaffinity(0, sizeof process, &process), 0);
  int first = 0;
  while (!CPU_ISSET(first, &process)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  Thread([&] {
    cpu_set_t mine;
    EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
    EXPECT_TRUE(CPU_EQUAL(&mine, &process));
    EXPECT_EQ(pthread_setaffinity_np(pthread_self(), sizeof one, &one), 0);
    EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
    EXPECT_TRUE(CPU_EQUAL(&mine, &one));
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(sched_getcpu(), first);
      sched_yield();
      usleep(10);
    }
    cpu_set_t none;
    CPU_ZERO(&none);
    EXPECT_EQ(pthread_setaffinity_np(pthread_self(), sizeof none, &none), EINVAL);
    return nullptr;
  });
  // One thread's affinity is not another's.
  Thread([&] {
    cpu_set_t mine;
    EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
    EXPECT_TRUE(CPU_EQUAL(&mine, &process));
    return nullptr;
  });
  cpu_set_t now;
  EXPECT_EQ(sched_getaffinity(0, sizeof now, &now), 0);
  EXPECT_TRUE(CPU_EQUAL(&now, &process));
}

TEST_F(Attr, AffinityInTheAttribute) {
  cpu_set_t process;
  ASSERT_EQ(sched_getaffinity(0, sizeof process, &process), 0);
  int first = 0;
  while (!CPU_ISSET(first, &process)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof one, &one), 0);
  Thread(
      [&] {
        cpu_set_t mine;
        EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
        EXPECT_TRUE(CPU_EQUAL(&mine, &one));
        EXPECT_EQ(sched_getcpu(), first);
        return nullptr;
      },
      &attr_);
}

TEST_F(Attr, CpuClock) {
  Thread([] {
    clockid_t clock;
    EXPECT_EQ(pthread_getcpuclockid(pthread_self(), &clock), 0);
    timespec before;
    timespec after;
    EXPECT_EQ(clock_gettime(clock, &before), 0);
    volatile int sink = 0;
    for (int i = 0; i < 1'000'000; ++i) sink = sink + i;
    EXPECT_EQ(clock_gettime(clock, &after), 0);
    EXPECT_GT(test::ToNs(after), test::ToNs(before));
    return nullptr;
  });
}

TEST_F(Attr, DefaultAttributesForNewThreads) {
  Thread([] { return nullptr; });
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             pthread_attr_t attr;
                             CHILD_CHECK(pthread_getattr_default_np(&attr) == 0);
                             CHILD_CHECK(pthread_attr_setstacksize(&attr, 320 << 10) == 0);
                             CHILD_CHECK(pthread_setattr_default_np(&attr) == 0);
                             size_t size = 0;
                             Thread([&size] {
                               size = Described().size;
                               return nullptr;
                             });
                             return size >= 320 << 10 ? 3 : 4;
                           }),
                           3));
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

TEST_F(Attr, SignalMaskInTheAttribute) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  ASSERT_EQ(pthread_attr_setsigmask_np(&attr_, &set), 0);
  Thread(
      [] {
        sigset_t mine;
        EXPECT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &mine), 0);
        EXPECT_EQ(sigismember(&mine, SIGUSR2), 1);
        EXPECT_EQ(sigismember(&mine, SIGUSR1), 0);
        return nullptr;
      },
      &attr_);
  sigset_t mine;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &mine), 0);
  EXPECT_EQ(sigismember(&mine, SIGUSR2), 0);
}

}  // namespace
