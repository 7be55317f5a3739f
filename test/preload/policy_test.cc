// SPDX-License-Identifier: Apache-2.0
// Tests scheduling policies, priorities and affinity: by attribute, inherited, and what they decide. Where the system
// grants no real-time policy, the tests of those expect to be told so.
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "attr.h"
#include "util.h"
#include "waits.h"

namespace {

using test::Attr;
using test::Thread;

struct Scheduling {
  int policy = -1;
  int priority = -1;
  bool operator==(const Scheduling&) const = default;
};

Scheduling Mine() {
  Scheduling mine;
  sched_param param{};
  EXPECT_EQ(pthread_getschedparam(pthread_self(), &mine.policy, &param), 0);
  mine.priority = param.sched_priority;
  return mine;
}

// What the kernel has for the thread, wherever it runs.
Scheduling Kernels() {
  sched_param param{};
  const auto policy = static_cast<int>(syscall(SYS_sched_getscheduler, 0));
  EXPECT_EQ(syscall(SYS_sched_getparam, 0, &param), 0);
  return {policy, param.sched_priority};
}

cpu_set_t Cpus() {
  cpu_set_t cpus;
  EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
  return cpus;
}

cpu_set_t FirstCpu() {
  return test::FirstOf(Cpus());
}

bool RealTimeIsGranted() {
  return test::Exited(test::RunChild([] {
                        const sched_param param = {.sched_priority = 1};
                        return sched_setscheduler(0, SCHED_FIFO, &param) == 0 ? 0 : 1;
                      }),
                      0);
}

class Policy : public Attr {
 protected:
  void Want(int policy, int priority) {
    ASSERT_EQ(pthread_attr_setinheritsched(&attr_, PTHREAD_EXPLICIT_SCHED), 0);
    ASSERT_EQ(pthread_attr_setschedpolicy(&attr_, policy), 0);
    const sched_param param = {.sched_priority = priority};
    ASSERT_EQ(pthread_attr_setschedparam(&attr_, &param), 0);
  }
  int Create(pthread_t* thread) {
    return pthread_create(
        thread, &attr_, [](void*) -> void* { return nullptr; }, nullptr);
  }
  bool GrantedOrTold(int policy) {
    if (RealTimeIsGranted()) return true;
    pthread_t thread;
    Want(policy, 1);
    EXPECT_EQ(Create(&thread), EPERM);
    return false;
  }
};

TEST_F(Policy, OfTheAttribute) {
  for (const int policy : {SCHED_FIFO, SCHED_RR}) {
    if (!GrantedOrTold(policy)) continue;
    Want(policy, 3);
    Thread(
        [policy] {
          EXPECT_EQ(Mine(), (Scheduling{policy, 3}));
          EXPECT_EQ(Kernels(), (Scheduling{policy, 3}));
          usleep(1000);
          EXPECT_EQ(Kernels(), (Scheduling{policy, 3}));
          return nullptr;
        },
        &attr_);
  }
}

TEST_F(Policy, IsNotGrantedToAll) {
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             Thread([] { return nullptr; });
                             const rlimit none = {0, 0};
                             CHILD_CHECK(setrlimit(RLIMIT_RTPRIO, &none) == 0);
                             CHILD_CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
                             Want(SCHED_FIFO, 3);
                             pthread_t thread;
                             CHILD_CHECK(Create(&thread) == EPERM);
                             const sched_param param = {.sched_priority = 3};
                             CHILD_CHECK(pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) == EPERM);
                             test::Gate gate;
                             Thread other([&] {
                               gate.Wait();
                               return nullptr;
                             });
                             CHILD_CHECK(pthread_setschedparam(other.id(), SCHED_FIFO, &param) == EPERM);
                             gate.Open();
                             return 0;
                           }),
                           0));
}

TEST_F(Policy, IsInherited) {
  Thread([] {
    const sched_param param{};
    EXPECT_EQ(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param), 0);
    Thread([] {
      EXPECT_EQ(Mine(), (Scheduling{SCHED_BATCH, 0}));
      EXPECT_EQ(Kernels(), (Scheduling{SCHED_BATCH, 0}));
      Thread([] {
        EXPECT_EQ(Kernels(), (Scheduling{SCHED_BATCH, 0}));
        return nullptr;
      });
      return nullptr;
    });
    return nullptr;
  });
  EXPECT_EQ(Mine(), (Scheduling{SCHED_OTHER, 0}));
  Thread([] {
    EXPECT_EQ(Kernels(), (Scheduling{SCHED_OTHER, 0}));
    return nullptr;
  });
}

TEST_F(Policy, IsNotInheritedWhereTheAttributeHasOne) {
  Want(SCHED_OTHER, 0);
  Thread([&] {
    const sched_param param{};
    EXPECT_EQ(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param), 0);
    Thread(
        [] {
          EXPECT_EQ(Mine(), (Scheduling{SCHED_OTHER, 0}));
          EXPECT_EQ(Kernels(), (Scheduling{SCHED_OTHER, 0}));
          return nullptr;
        },
        &attr_);
    return nullptr;
  });
}

TEST_F(Policy, AffinityOfTheAttributeAndInherited) {
  const cpu_set_t one = FirstCpu();
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof one, &one), 0);
  Thread(
      [&] {
        const cpu_set_t mine = Cpus();
        EXPECT_TRUE(CPU_EQUAL(&mine, &one));
        Thread([&] {
          const cpu_set_t inherited = Cpus();
          EXPECT_TRUE(CPU_EQUAL(&inherited, &one));
          return nullptr;
        });
        return nullptr;
      },
      &attr_);
  cpu_set_t none;
  CPU_ZERO(&none);
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof none, &none), 0);
  pthread_t thread;
  EXPECT_EQ(Create(&thread), EINVAL);
}

// Linux's functions mean a thread: the calling one, or the first.
TEST_F(Policy, OfTheCallingThreadAlone) {
  const cpu_set_t all = Cpus(), one = FirstCpu();
  Thread([&] {
    const sched_param none{};
    sched_param param = {.sched_priority = 7};
    EXPECT_EQ(sched_setscheduler(0, SCHED_BATCH, &none), 0);
    EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
    EXPECT_EQ(sched_setparam(0, &none), 0);
    EXPECT_EQ(sched_getparam(0, &param), 0);
    EXPECT_EQ(param.sched_priority, 0);
    EXPECT_EQ(Kernels(), (Scheduling{SCHED_BATCH, 0}));
    EXPECT_EQ(sched_getscheduler(getpid()), SCHED_OTHER);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    cpu_set_t cpus;
    EXPECT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    EXPECT_TRUE(CPU_EQUAL(&cpus, &one));
    EXPECT_EQ(sched_getaffinity(getpid(), sizeof cpus, &cpus), 0);
    EXPECT_TRUE(CPU_EQUAL(&cpus, &all));
    EXPECT_EQ(sched_setscheduler(0, 77, &none), -1);
    EXPECT_EQ(errno, EINVAL);
    return nullptr;
  });
  cpu_set_t cpus;
  EXPECT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  EXPECT_TRUE(CPU_EQUAL(&cpus, &all));
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
}

// What main has before it makes its first thread is what all have.
TEST_F(Policy, OfMainBeforeTheFirstThread) {
  const cpu_set_t all = Cpus(), one = FirstCpu();
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             const sched_param none{};
                             CHILD_CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
                             CHILD_CHECK(sched_setscheduler(0, SCHED_BATCH, &none) == 0);
                             Thread([&] {
                               cpu_set_t cpus = Cpus();
                               EXPECT_TRUE(CPU_EQUAL(&cpus, &one));
                               EXPECT_EQ(Mine(), (Scheduling{SCHED_BATCH, 0}));
                               EXPECT_EQ(Kernels(), (Scheduling{SCHED_BATCH, 0}));
                               EXPECT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
                               cpus = Cpus();
                               EXPECT_TRUE(CPU_EQUAL(&cpus, &all));
                               return nullptr;
                             });
                             const cpu_set_t cpus = Cpus();
                             CHILD_CHECK(CPU_EQUAL(&cpus, &one));
                             return ::testing::Test::HasFailure() ? 1 : 0;
                           }),
                           0));
}

// Threads with policies of their own are joined, detached, cancelled and counted as all others.
TEST_F(Policy, LifeOfAPinnedThread) {
  const cpu_set_t one = FirstCpu();
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof one, &one), 0);
  Thread cancelled(
      []() -> void* {
        for (;;) pause();
      },
      &attr_);
  EXPECT_EQ(pthread_cancel(cancelled.id()), 0);
  EXPECT_EQ(cancelled.Join(), PTHREAD_CANCELED);
  static int result;
  Thread exits([]() -> void* { pthread_exit(&result); }, &attr_);
  EXPECT_EQ(exits.Join(), &result);
}

TEST_F(Policy, TheLastPinnedThreadEndsTheProcess) {
  const cpu_set_t one = FirstCpu();
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof one, &one), 0);
  ASSERT_EQ(pthread_attr_setdetachstate(&attr_, PTHREAD_CREATE_DETACHED), 0);
  // From a thread, for GoogleTest's frames let no unwinding pass.
  Thread([&] {
    EXPECT_TRUE(test::Exited(test::RunChild([&]() -> int {
                               pthread_t thread;
                               CHILD_CHECK(Create(&thread) == 0);
                               pthread_exit(nullptr);
                             }),
                             0));
    return nullptr;
  });
}

TEST_F(Policy, AHigherPriorityHasRunWhenItIsMade) {
  if (!GrantedOrTold(SCHED_FIFO)) return;
  const cpu_set_t one = FirstCpu();
  ASSERT_EQ(pthread_attr_setaffinity_np(&attr_, sizeof one, &one), 0);
  Want(SCHED_FIFO, 1);
  Thread(
      [&] {
        std::atomic<bool> has_run{false};
        Want(SCHED_FIFO, 2);
        Thread higher(
            [&] {
              has_run = true;
              return nullptr;
            },
            &attr_);
        EXPECT_TRUE(has_run);
        return nullptr;
      },
      &attr_);
}

// The kernel wakes by priority who waits for a futex.
TEST_F(Policy, HigherPrioritiesGoFirst) {
  if (!GrantedOrTold(SCHED_FIFO)) return;
  const std::vector<int> priorities = {5, 20, 10, 20, 1};
  std::vector<int> order;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  std::vector<std::unique_ptr<Thread>> threads;
  for (const int priority : priorities) {
    Want(SCHED_FIFO, priority);
    std::atomic<bool> begun{false};
    threads.push_back(std::make_unique<Thread>(
        [&, priority] {
          begun = true;
          pthread_mutex_lock(&mutex);
          order.push_back(priority);
          test::LetThemWait();  // all the others, again
          pthread_mutex_unlock(&mutex);
          return nullptr;
        },
        &attr_));
    EXPECT_TRUE(test::Eventually([&] { return begun.load(); }));
    test::LetThemWait();
  }
  pthread_mutex_unlock(&mutex);
  threads.clear();
  EXPECT_EQ(order, (std::vector<int>{20, 20, 10, 5, 1}));
}

}  // namespace
