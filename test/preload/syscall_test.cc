// SPDX-License-Identifier: Apache-2.0
// Tests system calls made by number: what they change belongs to the thread that makes them, and nothing else differs.
#include <dlfcn.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <memory>
#include <vector>

#include "util.h"

namespace {

using test::HereAndInAThread;
using test::Thread;

TEST(Syscall, ResultsAndErrors) {
  HereAndInAThread([] {
    errno = 7;
    EXPECT_EQ(syscall(SYS_getpid), getpid());
    EXPECT_EQ(errno, 7);
    EXPECT_EQ(syscall(SYS_write, -1, "x", 1), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(syscall(100'000), -1);
    EXPECT_EQ(errno, ENOSYS);
    const long page = syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, -1);
    EXPECT_EQ(*reinterpret_cast<char*>(page), 0);
    EXPECT_EQ(syscall(SYS_munmap, page, 4096), 0);
    EXPECT_EQ(syscall(SYS_gettid), gettid());
    EXPECT_EQ(syscall(SYS_sched_yield), 0);
  });
}

TEST(Syscall, Sleeps) {
  HereAndInAThread([] {
    const timespec t = test::Ms(10);
    const int64_t begin = test::NowNs();
    EXPECT_EQ(syscall(SYS_nanosleep, &t, nullptr), 0);
    EXPECT_EQ(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, nullptr), 0);
    const timespec until = test::In(CLOCK_REALTIME, 10);
    EXPECT_EQ(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr), 0);
    EXPECT_GE(test::NowNs() - begin, 29 * test::kNsPerMs);
    const timespec bad = {0, -1};
    EXPECT_EQ(syscall(SYS_nanosleep, &bad, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(syscall(SYS_nanosleep, 8, nullptr), -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_EQ(syscall(SYS_clock_nanosleep, 77, 0, &t, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST(Syscall, SleepsAreInterrupted) {
  static std::atomic<bool> ran;
  ran = false;
  struct sigaction action = {};
  action.sa_handler = [](int) { ran = true; };
  action.sa_flags = SA_RESTART;
  struct sigaction old;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  std::atomic<bool> sleeping = false;
  Thread sleeper([&] {
    const timespec t = {1'000, 0};
    timespec left = {};
    sleeping = true;
    EXPECT_EQ(syscall(SYS_nanosleep, &t, &left), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_GT(left.tv_sec, 900);
    EXPECT_LE(left.tv_sec, 1'000);
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return sleeping.load(); }));
  test::LetThemWait();
  EXPECT_EQ(pthread_kill(sleeper.id(), SIGUSR1), 0);
  sleeper.Join();
  EXPECT_TRUE(ran);
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST(Syscall, ASleepIsNoCancellationPoint) {
  std::atomic<int> stage = 0;
  Thread thread([&]() -> void* {
    const timespec t = test::Ms(50);
    stage = 1;
    if (syscall(SYS_nanosleep, &t, nullptr) != 0) {
      EXPECT_TRUE(test::CancelAlwaysSignals());
      EXPECT_EQ(errno, EINTR);
    }
    stage = 2;
    pthread_testcancel();
    stage = 3;
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return stage == 1; }));
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(stage, 2);
}

TEST(Syscall, MasksAreTheThreads) {
  auto blocked = [](int signal) {
    sigset_t set;
    EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &set), 0);
    return sigismember(&set, signal) == 1;
  };
  auto play = [&](int mine, int others) {
    const uint64_t set = uint64_t{1} << (mine - 1);
    uint64_t old = 0;
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, &old, 8), 0);
    EXPECT_EQ(old & set, 0u);
    for (int i = 0; i < 50; ++i) {
      sched_yield();
      EXPECT_TRUE(blocked(mine));
      EXPECT_FALSE(blocked(others));
    }
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, 0, nullptr, &old, 8), 0);
    EXPECT_EQ(old & set, set);
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, nullptr, 8), 0);
    EXPECT_FALSE(blocked(mine));
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, 99, &set, nullptr, 8), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, nullptr, 8), -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, 128), -1);
    EXPECT_EQ(errno, EINVAL);
  };
  Thread one([&] {
    play(SIGUSR1, SIGUSR2);
    return nullptr;
  });
  Thread two([&] {
    play(SIGUSR2, SIGUSR1);
    return nullptr;
  });
  play(SIGWINCH, SIGUSR1);
}

struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

TEST(Syscall, Actions) {
  // The restorer is libc's: it cannot be written in C.
  struct sigaction action = {};
  static std::atomic<int> runs;
  runs = 0;
  action.sa_handler = [](int) { runs += 100; };
  struct sigaction old;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  KernelAction kernels = {};
  ASSERT_EQ(syscall(SYS_rt_sigaction, SIGUSR1, nullptr, &kernels, 8), 0);
  EXPECT_EQ(kernels.handler, action.sa_handler);
  kernels.handler = [](int) { ++runs; };
  kernels.mask = uint64_t{1} << (SIGUSR2 - 1);
  ASSERT_EQ(syscall(SYS_rt_sigaction, SIGUSR1, &kernels, nullptr, 8), 0);
  HereAndInAThread([] { EXPECT_EQ(raise(SIGUSR1), 0); });
  EXPECT_EQ(runs, 2);
  struct sigaction now;
  ASSERT_EQ(sigaction(SIGUSR1, &old, &now), 0);
  EXPECT_EQ(now.sa_handler, kernels.handler);
  EXPECT_EQ(sigismember(&now.sa_mask, SIGUSR2), 1);
  EXPECT_EQ(syscall(SYS_rt_sigaction, SIGKILL, &kernels, nullptr, 8), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Syscall, AlternateStacksAreTheThreads) {
  auto play = [] {
    auto memory = std::make_unique<char[]>(65536);
    stack_t stack = {.ss_sp = memory.get(), .ss_flags = 0, .ss_size = 65536};
    EXPECT_EQ(syscall(SYS_sigaltstack, &stack, nullptr), 0);
    for (int i = 0; i < 20; ++i) sched_yield();
    stack_t now;
    EXPECT_EQ(sigaltstack(nullptr, &now), 0);
    EXPECT_EQ(now.ss_sp, memory.get());
    stack.ss_flags = SS_DISABLE;
    EXPECT_EQ(syscall(SYS_sigaltstack, &stack, &now), 0);
    EXPECT_EQ(now.ss_sp, memory.get());
    return nullptr;
  };
  Thread one(play);
  Thread two(play);
}

TEST(SyscallExit, EndsTheThreadWithoutItsDestructors) {
  static std::atomic<int> destroyed;
  destroyed = 0;
  static pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void*) { ++destroyed; }), 0);
  struct Local {
    ~Local() { ++destroyed; }
    int use = 0;
  };
  Thread thread([]() -> void* {
    static thread_local Local local;
    local.use = 1;
    pthread_setspecific(key, &key);
    syscall(SYS_exit, 0);
    return &key;
  });
  EXPECT_NE(thread.Join(), &key);
  EXPECT_EQ(destroyed, 0);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST(SyscallExit, OfMainLeavesTheOthers) {
  const int status = test::RunChild([] {
    static std::atomic<bool> go;
    static pthread_t main_thread = pthread_self();
    go = false;
    pthread_t thread;
    CHILD_CHECK(pthread_create(
                    &thread, nullptr,
                    [](void*) -> void* {
                      while (!go) usleep(100);
                      usleep(1000);
                      CHILD_CHECK(!pthread_equal(pthread_self(), main_thread));
                      syscall(SYS_exit_group, 17);
                      return nullptr;
                    },
                    nullptr) == 0);
    go = true;
    syscall(SYS_exit, 5);
    return 1;
  });
  EXPECT_TRUE(test::Exited(status, 17)) << status;
  const int last = test::RunChild([] {
    Thread thread([] { return nullptr; });
    thread.Join();
    syscall(SYS_exit, 9);
    return 1;
  });
  EXPECT_TRUE(test::Exited(last, 9)) << last;
  const int later = test::RunChild([] {
    pthread_t thread;
    CHILD_CHECK(pthread_create(
                    &thread, nullptr,
                    [](void*) -> void* {
                      usleep(5000);
                      syscall(SYS_exit, 11);
                      return nullptr;
                    },
                    nullptr) == 0);
    syscall(SYS_exit, 11);
    return 1;
  });
  EXPECT_TRUE(test::Exited(later, 11)) << later;
  Thread([] { return nullptr; });
}

int UseThreads() {
  int sum = 0;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  {
    std::vector<Thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        usleep(10);
        pthread_mutex_lock(&mutex);
        ++sum;
        pthread_mutex_unlock(&mutex);
        return nullptr;
      });
    }
  }
  return sum;
}

// Forks in the way given while other threads run, and has the child use its threads' functions.
void ForkWith(const std::function<long()>& fork_by_number) {
  std::atomic<bool> stop = false;
  std::vector<Thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&] {
      while (!stop) {
        usleep(10);
        sched_yield();
      }
      return nullptr;
    });
  }
  for (int i = 0; i < 10; ++i) {
    const long child = fork_by_number();
    ASSERT_NE(child, -1);
    if (child == 0) {
      alarm(test::kChildSeconds);
      usleep(100);
      sched_yield();
      pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
      pthread_mutex_lock(&mutex);
      timespec soon = test::In(CLOCK_REALTIME, 2);
      CHILD_CHECK(pthread_mutex_timedlock(&mutex, &soon) == ETIMEDOUT);
      _exit(21);
    }
    EXPECT_TRUE(test::Exited(test::WaitFor(static_cast<pid_t>(child)), 21));
  }
  stop = true;
}

TEST(SyscallExit, ManyComeAndGo) {
  for (int i = 0; i < 50; ++i) {
    Thread thread([]() -> void* {
      syscall(SYS_exit, 0);
      return nullptr;
    });
    if (i % 2 == 0) Thread([] { return nullptr; });
  }
}

TEST(SyscallFork, ByFork) {
  HereAndInAThread([] { ForkWith([] { return syscall(SYS_fork); }); });
}

TEST(SyscallFork, ByClone) {
  HereAndInAThread([] { ForkWith([] { return syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0); }); });
}

TEST(SyscallFork, ByClone3) {
  HereAndInAThread([] {
    ForkWith([] {
      uint64_t args[8] = {};
      args[4] = SIGCHLD;
      return syscall(SYS_clone3, args, sizeof args);
    });
  });
}

TEST(SyscallFork, CloneOfAProcessOnAnotherStack) {
  HereAndInAThread([] {
    constexpr size_t kSize = 256 * 1024;
    auto stack = std::make_unique<char[]>(kSize);
    std::atomic<bool> stop = false;
    Thread other([&] {
      while (!stop) usleep(10);
      return nullptr;
    });
    for (int i = 0; i < 5; ++i) {
      int number = i;
      const pid_t child = clone(
          [](void* p) {
            alarm(test::kChildSeconds);
            usleep(100);
            return 30 + *static_cast<int*>(p);
          },
          stack.get() + kSize, SIGCHLD, &number);
      ASSERT_GT(child, 0);
      EXPECT_TRUE(test::Exited(test::WaitFor(child), 30 + i));
    }
    EXPECT_EQ(clone(nullptr, nullptr, SIGCHLD, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    stop = true;
  });
}

TEST(SyscallFork, CloneThatBorrowsTheMemory) {
  HereAndInAThread([] {
    constexpr size_t kSize = 65536;
    auto stack = std::make_unique<char[]>(kSize);
    static volatile int written;
    written = 0;
    const pid_t child = clone(
        [](void*) {
          written = 1;
          syscall(SYS_rt_sigprocmask, SIG_SETMASK, &written, nullptr, 8);
          syscall(SYS_exit, 4);
          return 0;
        },
        stack.get() + kSize, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
    ASSERT_GT(child, 0);
    EXPECT_EQ(written, 1);
    EXPECT_TRUE(test::Exited(test::WaitFor(child), 4));
    EXPECT_EQ(UseThreads(), 4);
  });
}

}  // namespace
