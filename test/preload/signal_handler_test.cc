// SPDX-License-Identifier: Apache-2.0
// Tests signal handlers: what they see, alternate stacks, timers.
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <vector>

#include "signals.h"
#include "util.h"

namespace {

using test::Count;
using test::handled;
using test::Handler;
using test::IsBlocked;
using test::Set;
using test::Signal;
using test::Thread;

TEST_F(Signal, HandlersSeeTheirMaskAndItIsRestored) {
  static std::atomic<int> blocked_inside;
  blocked_inside = 0;
  struct sigaction action = {};
  struct sigaction old;
  action.sa_handler = [](int) {
    blocked_inside = IsBlocked(SIGUSR1) + 10 * IsBlocked(SIGUSR2) + 100 * IsBlocked(SIGHUP);
  };
  action.sa_mask = Set({SIGUSR2});
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  test::HereAndInAThread([] {
    EXPECT_EQ(raise(SIGUSR1), 0);
    EXPECT_EQ(blocked_inside, 11);
    EXPECT_FALSE(IsBlocked(SIGUSR1));
    EXPECT_FALSE(IsBlocked(SIGUSR2));
  });
  action.sa_flags = SA_NODEFER | SA_RESETHAND;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  EXPECT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(blocked_inside, 10);
  struct sigaction now;
  EXPECT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

// What a handler sends to its own thread, which blocks it, waits for its return and no longer.
TEST_F(Signal, SentAgainByItsHandler) {
  static int (*send)();
  static volatile sig_atomic_t runs, depth, deepest, pending;
  static const auto handler = [](int) {
    depth = depth + 1;
    if (depth > deepest) deepest = depth;
    runs = runs + 1;
    if (runs < 5) {
      EXPECT_EQ(send(), 0);
      sigset_t set;
      pending = sigpending(&set) == 0 && sigismember(&set, SIGUSR1) == 1;
    }
    depth = depth - 1;
  };
  Handler installed(SIGUSR1, handler, 0);
  for (int (*how)() : {+[] { return raise(SIGUSR1); }, +[] { return pthread_kill(pthread_self(), SIGUSR1); }}) {
    send = how;
    test::HereAndInAThread([] {
      runs = 0;
      deepest = 0;
      pending = 0;
      EXPECT_EQ(send(), 0);
      EXPECT_EQ(runs, 5);
      EXPECT_EQ(deepest, 1);
      EXPECT_EQ(pending, 1);
    });
  }
  // Nothing of libmn's is called any more.
  runs = 0;
  send = [] { return raise(SIGUSR1); };
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  while (runs != 5) {
  }
}

TEST_F(Signal, PauseForOne) {
  Handler handler(SIGUSR1, Count);
  test::HereAndInAThread([] {
    const sigset_t usr1 = Set({SIGUSR1}), usr2 = Set({SIGUSR2});
    pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
    pthread_sigmask(SIG_BLOCK, &usr2, nullptr);
    handled = 0;
    EXPECT_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
    EXPECT_EQ(handled, 0);
    EXPECT_EQ(sigpause(SIGUSR1), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(handled, 1);
    EXPECT_TRUE(IsBlocked(SIGUSR1));
    EXPECT_TRUE(IsBlocked(SIGUSR2));
    EXPECT_EQ(sigpause(1000), -1);
    EXPECT_EQ(errno, EINVAL);
    pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);
    pthread_sigmask(SIG_UNBLOCK, &usr2, nullptr);
  });
}

TEST_F(Signal, AWaitTakesOneOfThoseThatQueue) {
  test::HereAndInAThread([] {
    const sigset_t set = Set({SIGRTMIN});
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    const auto pending = [] {
      sigset_t now;
      return sigpending(&now) == 0 && sigismember(&now, SIGRTMIN) == 1;
    };
    EXPECT_EQ(raise(SIGRTMIN), 0);
    EXPECT_EQ(raise(SIGRTMIN), 0);
    for (const bool more : {true, false}) {
      siginfo_t info;
      EXPECT_TRUE(pending());
      EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
      EXPECT_EQ(info.si_code, SI_USER);
      EXPECT_EQ(pending(), more);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  });
}

TEST_F(Signal, NobodyMasksKillAndStop) {
  EXPECT_TRUE(test::Killed(test::RunChild([] {
                             struct sigaction action = {};
                             action.sa_handler = [](int) { raise(SIGKILL); };
                             sigfillset(&action.sa_mask);
                             CHILD_CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
                             raise(SIGUSR1);
                             return 0;
                           }),
                           SIGKILL));
}

TEST_F(Signal, ActionsAreReportedAsSet) {
  Thread([] { return nullptr; });
  struct sigaction action = {};
  struct sigaction old;
  action.sa_sigaction = [](int, siginfo_t*, void*) {};
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  action.sa_mask = Set({SIGHUP});
  ASSERT_EQ(sigaction(SIGUSR2, &action, &old), 0);
  EXPECT_EQ(old.sa_handler, SIG_DFL);
  struct sigaction now = {};
  EXPECT_EQ(sigaction(SIGUSR2, nullptr, &now), 0);
  EXPECT_EQ(now.sa_sigaction, action.sa_sigaction);
  EXPECT_EQ(now.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_RESTART), SA_SIGINFO | SA_ONSTACK);
  EXPECT_EQ(sigismember(&now.sa_mask, SIGHUP), 1);
  EXPECT_EQ(sigismember(&now.sa_mask, SIGUSR1), 0);
  EXPECT_NE(signal(SIGUSR2, SIG_IGN), SIG_ERR);
  EXPECT_EQ(signal(SIGUSR2, SIG_DFL), SIG_IGN);
  EXPECT_EQ(sigaction(SIGUSR2, &old, nullptr), 0);
}

sigjmp_buf after_fault;
std::atomic<bool> on_alternate_stack;
std::atomic<void*> fault_address;
char* alternate_stack;
constexpr size_t kAlternateSize = 64 * 1024;

TEST_F(Signal, SegfaultOnAnAlternateStack) {
  // Each thread sets up a stack of its own, faults, and jumps out of the handler.
  struct sigaction action = {};
  struct sigaction old;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    char local;
    on_alternate_stack = &local >= alternate_stack && &local < alternate_stack + kAlternateSize;
    fault_address = info->si_addr;
    siglongjmp(after_fault, 1);
  };
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGSEGV, &action, &old), 0);
  void* nowhere = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(nowhere, MAP_FAILED);
  test::HereAndInAThread([&] {
    alternate_stack = static_cast<char*>(malloc(kAlternateSize));
    const stack_t stack = {.ss_sp = alternate_stack, .ss_flags = 0, .ss_size = kAlternateSize};
    stack_t before;
    EXPECT_EQ(sigaltstack(&stack, &before), 0);
    EXPECT_NE(before.ss_flags & SS_DISABLE, 0);  // Each thread starts without one.
    for (int i = 0; i < 3; ++i) {
      usleep(10);
      on_alternate_stack = false;
      fault_address = nullptr;
      if (sigsetjmp(after_fault, 1) == 0) {
        *static_cast<volatile char*>(nowhere) = 1;
        ADD_FAILURE() << "did not fault";
      }
      EXPECT_TRUE(on_alternate_stack);
      EXPECT_EQ(fault_address, nowhere);
      stack_t now;
      EXPECT_EQ(sigaltstack(nullptr, &now), 0);
      EXPECT_EQ(now.ss_sp, alternate_stack);
      EXPECT_EQ(now.ss_flags, 0);
    }
    const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    EXPECT_EQ(sigaltstack(&none, nullptr), 0);
    free(alternate_stack);
  });
  munmap(nowhere, 4096);
  EXPECT_EQ(sigaction(SIGSEGV, &old, nullptr), 0);
}

TEST_F(Signal, AlternateStacksAreTheThreadsOwn) {
  std::vector<Thread> threads;
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([] {
      std::vector<char> memory(kAlternateSize);
      const stack_t stack = {.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
      EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
      for (int i = 0; i < 20; ++i) {
        usleep(10);
        stack_t now;
        EXPECT_EQ(sigaltstack(nullptr, &now), 0);
        EXPECT_EQ(now.ss_sp, memory.data());
      }
      const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
      EXPECT_EQ(sigaltstack(&none, nullptr), 0);
      return nullptr;
    });
  }
}

TEST_F(Signal, IntervalTimerAmongWorkingThreads) {
  // A profiling-like timer that goes off a hundred times while threads lock, allocate and print.
  const Handler handler(SIGALRM, &Count);
  alarm(0);
  const itimerval times = {.it_interval = {.tv_sec = 0, .tv_usec = 1'000}, .it_value = {.tv_sec = 0, .tv_usec = 1'000}};
  const itimerval off = {};
  ASSERT_EQ(setitimer(ITIMER_REAL, &times, nullptr), 0);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int64_t counter = 0;
  std::vector<Thread> threads;
  std::atomic<int64_t> expected = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (handled < 50) {
        pthread_mutex_lock(&mutex);
        ++counter;
        pthread_mutex_unlock(&mutex);
        ++expected;
        free(malloc(200));
        sched_yield();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(setitimer(ITIMER_REAL, &off, nullptr), 0);
  EXPECT_EQ(counter, expected);
  EXPECT_GE(handled, 50);
}

// Where acknowledgements of handled signals go.
int acknowledge_fd;

// Signals `target` when it has long been idle, each when the one before was handled: how many were.
int SignalAnIdleProcess(pid_t target, int acknowledged_fd, int count) {
  for (int i = 0; i < count; ++i) {
    test::SleepMs(80);
    kill(target, SIGUSR1);
    pollfd acknowledged = {.fd = acknowledged_fd, .events = POLLIN, .revents = 0};
    char byte;
    if (poll(&acknowledged, 1, 20'000) != 1 || read(acknowledged_fd, &byte, 1) != 1) return i;
  }
  return count;
}

// All threads sleep in the kernel, main in a read that is libc's own, on whatever kernel thread it got to by then.
TEST_F(Signal, ReachesAnIdleProcess) {
  constexpr int kSignals = 5;
  int acknowledgements[2];
  int bytes[2];
  ASSERT_EQ(pipe(acknowledgements), 0);
  ASSERT_EQ(pipe(bytes), 0);
  FILE* stream = fdopen(bytes[0], "r");
  setvbuf(stream, nullptr, _IONBF, 0);
  acknowledge_fd = acknowledgements[1];
  const Handler handler(SIGUSR1, [](int) {
    const char byte = 'a';
    EXPECT_EQ(write(acknowledge_fd, &byte, 1), 1);
  });
  {
    std::atomic<bool> stop = false;
    std::vector<Thread> busy;
    for (int t = 0; t < 4; ++t) {
      busy.emplace_back([&] {
        while (!stop) sched_yield();
        return nullptr;
      });
    }
    for (int i = 0; i < 40; ++i) {
      const Thread writer([&] {
        test::SleepMs(1);
        EXPECT_EQ(write(bytes[1], "b", 1), 1);
        return nullptr;
      });
      EXPECT_EQ(getc(stream), 'b');
    }
    stop = true;
  }
  const pid_t target = getpid();
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    const char handled_there = static_cast<char>(SignalAnIdleProcess(target, acknowledgements[0], kSignals));
    _exit(write(bytes[1], &handled_there, 1) == 1 ? 0 : 1);
  }
  EXPECT_EQ(getc(stream), kSignals);
  EXPECT_TRUE(test::Exited(test::WaitFor(child), 0));
  fclose(stream);
  for (const int fd : {bytes[1], acknowledgements[0], acknowledgements[1]}) close(fd);
}

TEST_F(Signal, ErrnoSurvivesHandlers) {
  const Handler handler(SIGUSR1, [](int) { errno = 99; });
  Thread([] {
    // What a careless handler leaves is seen by the thread it ran in, and only by that one.
    errno = 1;
    Thread([] {
      errno = 2;
      raise(SIGUSR1);
      EXPECT_EQ(errno, 99);
      return nullptr;
    });
    EXPECT_EQ(errno, 1);
    return nullptr;
  });
}

}  // namespace
