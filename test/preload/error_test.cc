// SPDX-License-Identifier: Apache-2.0
// Tests error numbers around threads that have ended, limits that are reached, and bad arguments.
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>

#include <array>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

// A thread that has ended and waits to be joined.
class Ended : public testing::Test {
 protected:
  void SetUp() override {
    EXPECT_TRUE(test::Eventually([&] { return ended_.load(); }));
    test::LetThemWait();  // From there to its very end.
  }

  std::atomic<bool> ended_ = false;
  Thread thread_{[this] {
    ended_ = true;
    return reinterpret_cast<void*>(3);
  }};
};

TEST_F(Ended, SchedulingIsGone) {
  int policy = -1;
  sched_param param = {};
  EXPECT_EQ(pthread_getschedparam(thread_.id(), &policy, &param), ESRCH);
  EXPECT_EQ(pthread_setschedparam(thread_.id(), SCHED_OTHER, &param), ESRCH);
  EXPECT_EQ(pthread_setschedprio(thread_.id(), 0), ESRCH);
  clockid_t clock;
  EXPECT_EQ(pthread_getcpuclockid(thread_.id(), &clock), ESRCH);
}

TEST_F(Ended, NameIsGone) {
  char name[16];
  EXPECT_EQ(pthread_getname_np(thread_.id(), name, sizeof name), ENOENT);
  EXPECT_EQ(pthread_setname_np(thread_.id(), "x"), ENOENT);
}

TEST_F(Ended, SignalsGoNowhere) {
  EXPECT_EQ(pthread_kill(thread_.id(), 0), 0);
  EXPECT_EQ(pthread_kill(thread_.id(), SIGUSR1), 0);
  EXPECT_EQ(pthread_kill(thread_.id(), 1000), 0);  // Nothing is there to judge it.
  EXPECT_EQ(pthread_sigqueue(thread_.id(), SIGUSR1, {}), ESRCH);
  EXPECT_EQ(pthread_cancel(thread_.id()), 0);
  EXPECT_EQ(thread_.Join(), reinterpret_cast<void*>(3));
}

TEST_F(Ended, StackIsStillDescribed) {
  pthread_attr_t attr;
  ASSERT_EQ(pthread_getattr_np(thread_.id(), &attr), 0);
  void* base = nullptr;
  size_t size = 0;
  EXPECT_EQ(pthread_attr_getstack(&attr, &base, &size), 0);
  EXPECT_NE(base, nullptr);
  EXPECT_GT(size, 0u);
  int state = -1;
  EXPECT_EQ(pthread_attr_getdetachstate(&attr, &state), 0);
  EXPECT_EQ(state, PTHREAD_CREATE_JOINABLE);
  EXPECT_EQ(pthread_attr_destroy(&attr), 0);
}

TEST_F(Ended, JoinsOfEveryKindWork) {
  void* result = nullptr;
  EXPECT_EQ(pthread_tryjoin_np(thread_.id(), &result), 0);
  EXPECT_EQ(result, reinterpret_cast<void*>(3));
  thread_.Release();
}

TEST_F(Ended, TimedJoinWithATimeLongPast) {
  void* result = nullptr;
  const timespec past = {.tv_sec = 0, .tv_nsec = 0};
  EXPECT_EQ(pthread_timedjoin_np(thread_.id(), &result, &past), 0);
  EXPECT_EQ(result, reinterpret_cast<void*>(3));
  thread_.Release();
}

// The number of threads with stacks of 16 MiB that can be made, all alive together.
int CreateUntilRefused() {
  constexpr int kEnough = 200;
  static std::array<pthread_t, kEnough> threads;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 16 << 20);
  static sem_t sem;
  sem_init(&sem, 0, 0);
  int count = 0;
  int error = 0;
  while (count < kEnough) {
    error = pthread_create(
        &threads[count], &attr,
        [](void* p) -> void* {
          while (sem_wait(&sem) != 0) {
          }
          return p;
        },
        &sem);
    if (error != 0) break;
    ++count;
  }
  for (int i = 0; i < count; ++i) sem_post(&sem);
  for (int i = 0; i < count; ++i) {
    void* result = nullptr;
    CHILD_CHECK(pthread_join(threads[i], &result) == 0);
    CHILD_CHECK(result == &sem);
  }
  CHILD_CHECK(error == EAGAIN);
  return count;
}

TEST(Refused, NoAddressSpaceIsEagainAndLeaksNothing) {
  Thread([] { return nullptr; });
  EXPECT_TRUE(test::Exited(test::RunChild([] {
                             FILE* file = fopen("/proc/self/statm", "r");
                             unsigned long pages = 0;
                             CHILD_CHECK(fscanf(file, "%lu", &pages) == 1);
                             fclose(file);
                             const rlim_t bytes = pages * sysconf(_SC_PAGESIZE) + (1 << 30);
                             const rlimit limit = {bytes, bytes};
                             CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
                             const int first = CreateUntilRefused();
                             CHILD_CHECK(first > 20);
                             CHILD_CHECK(first <= 64);
                             for (int i = 0; i < 5; ++i) {
                               CHILD_CHECK(CreateUntilRefused() >= first);
                             }
                             return 7;
                           }),
                           7));
}

TEST(Refused, ATooLargeStackDoesNotSpoilTheNext) {
  pthread_attr_t attr;
  ASSERT_EQ(pthread_attr_init(&attr), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attr, size_t{1} << 47), 0);
  for (int i = 0; i < 100; ++i) {
    pthread_t thread;
    EXPECT_EQ(pthread_create(
                  &thread, &attr, [](void* p) { return p; }, nullptr),
              EAGAIN);
  }
  EXPECT_EQ(pthread_attr_destroy(&attr), 0);
  std::vector<Thread> threads;
  std::atomic<int> ran = 0;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      ++ran;
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(ran, 20);
}

// The guard is address space only, however large.
TEST(Allowed, AGuardFarLargerThanTheStack) {
  test::HereAndInAThread([] {
    pthread_attr_t attr;
    ASSERT_EQ(pthread_attr_init(&attr), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    ASSERT_EQ(pthread_attr_setguardsize(&attr, size_t{1} << 40), 0);
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, &attr, [](void* p) { return p; }, nullptr),
              0);
    EXPECT_EQ(pthread_join(thread, nullptr), 0);
    EXPECT_EQ(pthread_attr_destroy(&attr), 0);
  });
}

TEST(Refused, UnknownSchedulingInTheAttribute) {
  // A priority that the policy does not have.
  test::HereAndInAThread([] {
    pthread_attr_t attr;
    ASSERT_EQ(pthread_attr_init(&attr), 0);
    sched_param param = {.sched_priority = 5};
    EXPECT_EQ(pthread_attr_setschedparam(&attr, &param), EINVAL);
    ASSERT_EQ(pthread_attr_setschedpolicy(&attr, SCHED_RR), 0);
    param.sched_priority = 1000;
    EXPECT_EQ(pthread_attr_setschedparam(&attr, &param), EINVAL);
    // Right in itself, but too low for the policy that comes after it.
    param.sched_priority = 1;
    EXPECT_EQ(pthread_attr_setschedparam(&attr, &param), 0);
    ASSERT_EQ(pthread_attr_setschedpolicy(&attr, SCHED_OTHER), 0);
    ASSERT_EQ(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
    pthread_t thread;
    EXPECT_EQ(pthread_create(
                  &thread, &attr, [](void* p) { return p; }, nullptr),
              EINVAL);
    EXPECT_EQ(pthread_attr_destroy(&attr), 0);
  });
}

TEST(Refused, ACpuThatIsNotThere) {
  test::HereAndInAThread([] {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(CPU_SETSIZE - 1, &set);
    EXPECT_EQ(pthread_setaffinity_np(pthread_self(), sizeof set, &set), EINVAL);
    pthread_attr_t attr;
    ASSERT_EQ(pthread_attr_init(&attr), 0);
    ASSERT_EQ(pthread_attr_setaffinity_np(&attr, sizeof set, &set), 0);
    pthread_t thread;
    EXPECT_EQ(pthread_create(
                  &thread, &attr, [](void* p) { return p; }, nullptr),
              EINVAL);
    EXPECT_EQ(pthread_attr_destroy(&attr), 0);
    // Nothing is left over from the thread that was not to be.
    Thread again([] { return reinterpret_cast<void*>(1); });
    EXPECT_EQ(again.Join(), reinterpret_cast<void*>(1));
  });
}

}  // namespace
