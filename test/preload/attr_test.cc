// SPDX-License-Identifier: Apache-2.0
// Tests thread attributes: detach state, scheduling, affinity, defaults.
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include <vector>

#include "attr.h"
#include "util.h"

namespace {

using test::Attr;
using test::Described;
using test::Gate;
using test::Thread;

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
  test::LetThemWait();
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
  const cpu_set_t one = test::FirstOf(process);
  Thread([&] {
    cpu_set_t mine;
    EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
    EXPECT_TRUE(CPU_EQUAL(&mine, &process));
    EXPECT_EQ(pthread_setaffinity_np(pthread_self(), sizeof one, &one), 0);
    EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
    EXPECT_TRUE(CPU_EQUAL(&mine, &one));
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(CPU_ISSET(sched_getcpu(), &one));
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
  const cpu_set_t one = test::FirstOf(process);
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof one, &one), 0);
  Thread(
      [&] {
        cpu_set_t mine;
        EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof mine, &mine), 0);
        EXPECT_TRUE(CPU_EQUAL(&mine, &one));
        EXPECT_TRUE(CPU_ISSET(sched_getcpu(), &one));
        return nullptr;
      },
      &attr_);
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
