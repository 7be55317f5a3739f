// SPDX-License-Identifier: Apache-2.0
// Tests signals: masks per thread, pthread_kill, which thread handles what, waiting.
#include <sched.h>

#include <array>
#include <vector>

#include "signals.h"
#include "util.h"

namespace {

using test::Count;
using test::Gate;
using test::handled;
using test::handled_by;
using test::handled_here;
using test::Handler;
using test::IsBlocked;
using test::Set;
using test::Signal;
using test::Thread;

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
  test::LetThemWait();
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

TEST_F(Signal, SigwaitBeginsAsSignalsCome) {
  // Short waits, so that signals come at every moment of one.
  constexpr int kThreads = 4;
  constexpr int kSignals = 3000;
  const sigset_t set = Set({SIGRTMIN});
  std::atomic<int> ready = 0, got = 0;
  std::vector<std::unique_ptr<Thread>> waiters;
  for (int i = 0; i < kThreads; ++i)
    waiters.push_back(std::make_unique<Thread>([&] {
      EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
      ++ready;
      for (int mine = 0; mine < kSignals;) {
        const timespec none = {};
        if (sigtimedwait(&set, nullptr, &none) != SIGRTMIN) continue;
        ++mine;
        ++got;
      }
      return nullptr;
    }));
  EXPECT_TRUE(test::Eventually([&] { return ready == kThreads; }));
  for (int i = 0; i < kSignals; ++i) {
    for (const auto& waiter : waiters)
      while (pthread_kill(waiter->id(), SIGRTMIN) == EAGAIN) sched_yield();
  }
  EXPECT_TRUE(test::Eventually([&] { return got == kThreads * kSignals; })) << got;
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
  test::LetThemWait();
  EXPECT_EQ(pthread_kill(thread.id(), 0), 0);
  EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);
  test::LetThemWait();
  EXPECT_EQ(handled, 0);
}

}  // namespace
