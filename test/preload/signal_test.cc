// SPDX-License-Identifier: Apache-2.0
// Tests signals: masks per thread, pthread_kill, which thread handles what, stacks, waiting.
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <array>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

sigset_t Set(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

bool IsBlocked(int signal) {
  sigset_t now;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &now), 0);
  return sigismember(&now, signal) == 1;
}

// Installs a handler for its life.
class Handler {
 public:
  Handler(int signal, void (*handler)(int), int flags = SA_RESTART) : signal_(signal) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    EXPECT_EQ(sigaction(signal, &action, &old_), 0);
  }
  ~Handler() { EXPECT_EQ(sigaction(signal_, &old_, nullptr), 0); }

 private:
  int signal_;
  struct sigaction old_;
};

thread_local volatile sig_atomic_t handled_here;
std::atomic<int> handled;
std::atomic<pthread_t> handled_by;

void Count(int) {
  handled_here = handled_here + 1;
  handled_by = pthread_self();
  ++handled;
}

class Signal : public testing::Test {
 protected:
  void SetUp() override {
    handled = 0;
    handled_here = 0;
  }
};

TEST_F(Signal, MasksAreTheThreadsOwnAndStay) {
  std::vector<Thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t] {
      const sigset_t set = Set({SIGRTMIN + t});
      EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
      for (int i = 0; i < 50; ++i) {
        if (i % 2 == 0) {
          usleep(10);
        } else {
          sched_yield();
        }
        for (int k = 0; k < 8; ++k) EXPECT_EQ(IsBlocked(SIGRTMIN + k), k == t);
      }
      return nullptr;
    });
  }
  threads.clear();
  for (int k = 0; k < 8; ++k) EXPECT_FALSE(IsBlocked(SIGRTMIN + k));
}

TEST_F(Signal, MasksAreInherited) {
  const sigset_t set = Set({SIGUSR1, SIGRTMIN + 3});
  sigset_t old;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
  Thread([] {
    EXPECT_TRUE(IsBlocked(SIGUSR1));
    EXPECT_TRUE(IsBlocked(SIGRTMIN + 3));
    EXPECT_FALSE(IsBlocked(SIGUSR2));
    const sigset_t other = Set({SIGUSR2});
    EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &other, nullptr), 0);
    Thread([] {
      EXPECT_FALSE(IsBlocked(SIGUSR1));
      EXPECT_TRUE(IsBlocked(SIGUSR2));
      return nullptr;
    });
    return nullptr;
  });
  EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &old, nullptr), 0);
  // A recycled thread starts with its creator's mask, not with a dead one's.
  Thread([] {
    EXPECT_FALSE(IsBlocked(SIGUSR1));
    EXPECT_FALSE(IsBlocked(SIGUSR2));
    return nullptr;
  });
}

TEST_F(Signal, MaskArguments) {
  test::HereAndInAThread([] {
    const sigset_t set = Set({SIGUSR1});
    sigset_t old;
    EXPECT_EQ(pthread_sigmask(77, &set, nullptr), EINVAL);
    EXPECT_EQ(pthread_sigmask(77, nullptr, &old), 0);  // Nothing to do, so nothing wrong.
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
    EXPECT_EQ(sigismember(&old, SIGUSR1), 0);
    EXPECT_EQ(sigprocmask(SIG_UNBLOCK, &set, &old), 0);
    EXPECT_EQ(sigismember(&old, SIGUSR1), 1);
    errno = 0;
    EXPECT_EQ(sigprocmask(77, &set, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    // What cannot be blocked is left out in silence.
    const sigset_t unblockable = Set({SIGKILL, SIGSTOP});
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &unblockable, nullptr), 0);
    EXPECT_FALSE(IsBlocked(SIGKILL));
    EXPECT_FALSE(IsBlocked(SIGSTOP));
  });
}

TEST_F(Signal, RaiseIsHandledAtOnceInTheSameThread) {
  const Handler handler(SIGUSR1, &Count);
  test::HereAndInAThread([] {
    handled_here = 0;
    for (int i = 1; i <= 20; ++i) {
      EXPECT_EQ(raise(SIGUSR1), 0);
      EXPECT_EQ(handled_here, i);
      EXPECT_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
      EXPECT_EQ(handled_by.load(), pthread_self());
      handled_here = i;
    }
  });
  EXPECT_EQ(handled, 80);
}

TEST_F(Signal, KillReachesTheRightThread) {
  const Handler handler(SIGUSR1, &Count);
  std::atomic<bool> stop = false;
  std::array<std::atomic<int>, 6> mine{};
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      // Some sleep, some yield, some wait for a lock that nobody has: all handle their own.
      while (!stop) {
        if (t % 2 == 0) {
          usleep(100);
        } else {
          sched_yield();
        }
        mine[t] = handled_here;
      }
      mine[t] = handled_here;
      return nullptr;
    });
  }
  for (int round = 1; round <= 10; ++round) {
    for (int t = 0; t < 6; ++t) {
      EXPECT_EQ(pthread_kill(threads[t].id(), SIGUSR1), 0);
      EXPECT_TRUE(test::Eventually([&] { return mine[t] == round; })) << t << " " << mine[t];
      EXPECT_EQ(handled_by.load(), threads[t].id());
    }
  }
  EXPECT_EQ(handled, 60);
  stop = true;
}

TEST_F(Signal, KillReachesAThreadThatWaits) {
  // The handler runs in a thread that is blocked on a lock, and the wait goes on afterwards.
  const Handler handler(SIGUSR1, &Count);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  bool go = false;
  pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&held);
  std::array<std::atomic<int>, 2> seen{};
  Thread in_cond([&] {
    pthread_mutex_lock(&mutex);
    while (!go) pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
    seen[0] = handled_here;
    return nullptr;
  });
  Thread in_mutex([&] {
    pthread_mutex_lock(&held);
    pthread_mutex_unlock(&held);
    seen[1] = handled_here;
    return nullptr;
  });
  test::SleepMs(5);
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(pthread_kill(in_cond.id(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return handled == 2 * i - 1; }));
    EXPECT_EQ(handled_by.load(), in_cond.id());
    EXPECT_EQ(pthread_kill(in_mutex.id(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return handled == 2 * i; }));
    EXPECT_EQ(handled_by.load(), in_mutex.id());
  }
  pthread_mutex_unlock(&held);
  pthread_mutex_lock(&mutex);
  go = true;
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&mutex);
  in_cond.Join();
  in_mutex.Join();
  EXPECT_EQ(seen[0], 5);
  EXPECT_EQ(seen[1], 5);
}

TEST_F(Signal, BlockedSignalsWait) {
  const Handler handler(SIGUSR1, &Count);
  Gate blocked;
  Gate sent;
  Thread thread([&] {
    const sigset_t set = Set({SIGUSR1});
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    blocked.Open();
    sent.Wait();
    usleep(100);
    EXPECT_EQ(handled_here, 0);
    sigset_t pending;
    EXPECT_EQ(sigpending(&pending), 0);
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 1);
    EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
    EXPECT_EQ(handled_here, 1);  // Delivered before the call returned.
    return nullptr;
  });
  blocked.Wait();
  EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);
  EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);  // Standard signals do not queue.
  sent.Open();
  thread.Join();
  EXPECT_EQ(handled, 1);
}

TEST_F(Signal, ProcessSignalGoesToAThreadThatDoesNotBlockIt) {
  const Handler handler(SIGUSR1, &Count);
  const sigset_t set = Set({SIGUSR1});
  sigset_t old;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
  std::atomic<bool> stop = false;
  Thread open_one([&] {
    const sigset_t mine = Set({SIGUSR1});
    EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &mine, nullptr), 0);
    while (!stop) usleep(100);
    return nullptr;
  });
  std::vector<Thread> others;
  for (int i = 0; i < 5; ++i) {
    others.emplace_back([&] {
      while (!stop) usleep(100);
      EXPECT_EQ(handled_here, 0);
      return nullptr;
    });
  }
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return handled == i; }));
    EXPECT_EQ(handled_by.load(), open_one.id());
  }
  stop = true;
  open_one.Join();
  others.clear();
  EXPECT_EQ(handled_here, 0);
  EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &old, nullptr), 0);
}

TEST_F(Signal, SigwaitInAThread) {
  // The classic signal thread: all block it, one waits for it.
  const sigset_t set = Set({SIGUSR1, SIGUSR2});
  sigset_t old;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
  std::atomic<int> got = 0;
  Thread waiter([&] {
    for (;;) {
      int signal = 0;
      EXPECT_EQ(sigwait(&set, &signal), 0);
      if (signal == SIGUSR2) return nullptr;
      EXPECT_EQ(signal, SIGUSR1);
      ++got;
    }
  });
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return got == i; }));
  }
  EXPECT_EQ(kill(getpid(), SIGUSR2), 0);
  waiter.Join();
  EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &old, nullptr), 0);
}

TEST_F(Signal, SigtimedwaitAndQueuedValues) {
  Gate ready;
  Thread waiter([&] {
    const sigset_t set = Set({SIGRTMIN});
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    timespec time = test::Ms(5);
    errno = 0;
    EXPECT_EQ(sigtimedwait(&set, nullptr, &time), -1);
    EXPECT_EQ(errno, EAGAIN);
    ready.Open();
    time = {.tv_sec = 20, .tv_nsec = 0};
    for (int i = 0; i < 5; ++i) {
      siginfo_t info = {};
      EXPECT_EQ(sigtimedwait(&set, &info, &time), SIGRTMIN);
      EXPECT_EQ(info.si_value.sival_int, 100 + i);  // Real-time signals queue in order.
      EXPECT_EQ(info.si_code, SI_QUEUE);
      EXPECT_EQ(info.si_pid, getpid());
    }
    return nullptr;
  });
  ready.Wait();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pthread_sigqueue(waiter.id(), SIGRTMIN, {.sival_int = 100 + i}), 0);
  }
}

TEST_F(Signal, SigsuspendInAThread) {
  const Handler handler(SIGUSR1, &Count, 0);
  Thread waiter([] {
    const sigset_t set = Set({SIGUSR1});
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    EXPECT_EQ(raise(SIGUSR1), 0);
    EXPECT_EQ(handled_here, 0);
    const sigset_t none = Set({});
    errno = 0;
    EXPECT_EQ(sigsuspend(&none), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(handled_here, 1);
    EXPECT_TRUE(IsBlocked(SIGUSR1));
    return nullptr;
  });
}

TEST_F(Signal, KillArguments) {
  test::HereAndInAThread([] {
    EXPECT_EQ(pthread_kill(pthread_self(), 0), 0);
    EXPECT_EQ(pthread_kill(pthread_self(), -1), EINVAL);
    EXPECT_EQ(pthread_kill(pthread_self(), 1000), EINVAL);
    EXPECT_EQ(pthread_kill(pthread_self(), 32), EINVAL);  // glibc's own.
    EXPECT_EQ(pthread_kill(pthread_self(), 33), EINVAL);
    errno = 0;
    EXPECT_EQ(raise(1000), -1);
    EXPECT_EQ(errno, EINVAL);
    struct sigaction action = {};
    errno = 0;
    EXPECT_EQ(sigaction(SIGKILL, &action, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    errno = 0;
    EXPECT_EQ(sigaction(32, &action, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
  });
}

TEST_F(Signal, KillOfAThreadThatEndedButIsNotJoined) {
  const Handler handler(SIGUSR1, &Count);
  std::atomic<bool> ended = false;
  Thread thread([&] {
    ended = true;
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return ended.load(); }));
  test::SleepMs(10);
  EXPECT_EQ(pthread_kill(thread.id(), 0), 0);
  EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);
  test::SleepMs(2);
  EXPECT_EQ(handled, 0);
}

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
