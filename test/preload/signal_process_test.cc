// SPDX-License-Identifier: Apache-2.0
// Tests signals for the process that main blocks and another thread takes, whatever that thread waits for; and those
// that nobody takes.
#include <poll.h>
#include <semaphore.h>

#include "signals.h"
#include "sockets.h"

namespace {

using test::Channel;
using test::Kind;
using test::Thread;

class SignalProcess : public test::Signal {
 protected:
  void TearDown() override {
    const timespec none = {};
    while (sigtimedwait(&set_, nullptr, &none) > 0) {
    }
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  }
  void Block() { EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set_, nullptr), 0); }

  const sigset_t set_ = test::Set({SIGUSR1});
};

// `wait` waits in a thread that takes the signal, and gives what the call gave; `release` ends it.
void FindsWhoWaits(const sigset_t& set, int flags, const std::function<int()>& wait,
                   const std::function<void()>& release) {
  test::handled = 0;
  test::Handler handler(SIGUSR1, test::Count, flags);
  std::atomic<bool> done = false;
  std::atomic<int> error = -1;
  Thread waiter([&] {
    error = wait();
    done = true;
    return nullptr;
  });
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  test::LetThemWait();
  for (int i = 1; i <= 3 && !done; ++i) {
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return test::handled >= i; }));
    EXPECT_EQ(test::handled_by, waiter.id());
    test::LetThemWait();
  }
  EXPECT_EQ(test::handled_here, 0);
  release();
  waiter.Join();
  if ((flags & SA_RESTART) != 0) {
    EXPECT_EQ(error, 0);
  }
  EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
}

int ErrorOf(ssize_t result) {
  return result == -1 ? errno : 0;
}

TEST_F(SignalProcess, AThreadThatReceives) {
  for (const int flags : {0, SA_RESTART}) {
    Channel channel(Kind::kUnixStream);
    std::atomic<int> error = -1;
    FindsWhoWaits(
        set_, flags,
        [&] {
          char byte;
          return error = ErrorOf(recv(channel.in, &byte, 1, 0));
        },
        [&] { channel.Put(); });
    EXPECT_EQ(error, flags == 0 ? EINTR : 0);
  }
}

TEST_F(SignalProcess, AThreadThatWaitsForASemaphore) {
  for (const int flags : {0, SA_RESTART}) {
    sem_t sem;
    sem_init(&sem, 0, 0);
    std::atomic<int> error = -1;
    FindsWhoWaits(
        set_, flags, [&] { return error = ErrorOf(sem_wait(&sem)); }, [&] { sem_post(&sem); });
    EXPECT_EQ(error, flags == 0 ? EINTR : 0);
  }
}

// The wait goes on: pthread functions never end with EINTR.
TEST_F(SignalProcess, AThreadThatWaitsForACondition) {
  test::Gate gate;
  FindsWhoWaits(
      set_, SA_RESTART,
      [&] {
        gate.Wait();
        return 0;
      },
      [&] { gate.Open(); });
}

TEST_F(SignalProcess, AThreadThatSleepsOrPolls) {
  std::atomic<int> error = -1;
  FindsWhoWaits(
      set_, 0,
      [&] {
        const timespec long_time = test::Ms(100'000);
        return error = ErrorOf(nanosleep(&long_time, nullptr));
      },
      [] {});
  EXPECT_EQ(error, EINTR);
  FindsWhoWaits(
      set_, 0, [&] { return error = ErrorOf(poll(nullptr, 0, 100'000)); }, [] {});
  EXPECT_EQ(error, EINTR);
}

TEST_F(SignalProcess, AThreadThatComputes) {
  std::atomic<bool> over = false;
  FindsWhoWaits(
      set_, SA_RESTART,
      [&] {
        while (!over) {
        }
        return 0;
      },
      [&] { over = true; });
}

// One of many takes it, which unblocks it only after it has begun.
TEST_F(SignalProcess, OneOfMany) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  Block();
  test::Gate gate;
  std::vector<Thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([&] {
      gate.Wait();
      return nullptr;
    });
  }
  Thread taker([&] {
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    gate.Wait();
    return nullptr;
  });
  test::LetThemWait();
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return test::handled >= i; }));
    EXPECT_EQ(test::handled_by, taker.id());
  }
  gate.Open();
}

// Sends signals, one after the other, to the process or by `send`; those that take them run `take` again and again.
// A thousand, or as many as there is time for.
void FindsOneAlways(const std::function<void()>& take, const std::function<void(pthread_t taker)>& send = nullptr) {
  test::handled = 0;
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  std::atomic<bool> over = false;
  std::vector<Thread> takers;
  for (int i = 0; i < 3; ++i) {
    takers.emplace_back([&] {
      while (!over) take();
      return nullptr;
    });
  }
  const int64_t end = test::NowNs() + 10 * test::kNsPerSecond;
  for (int i = 1; i <= 1000 && test::NowNs() < end && !testing::Test::HasFailure(); ++i) {
    if (send != nullptr && i % 2 == 0)
      send(takers[i % takers.size()].id());
    else
      EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    for (int turn = 0; turn < 1000 && test::handled < i; ++turn) sched_yield();
    EXPECT_TRUE(test::Eventually([&] { return test::handled >= i; })) << i;
  }
  EXPECT_EQ(test::handled_here, 0);
  over = true;
}

// One that is given it as it ends leaves it to the next.
TEST_F(SignalProcess, ThreadsThatEnd) {
  Block();
  FindsOneAlways([&] {
    Thread([&] {
      pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
      return nullptr;
    });
  });
}

// So does one that is given it as it blocks it; what was sent to itself it keeps.
TEST_F(SignalProcess, ThreadsThatBlockIt) {
  Block();
  auto take = [&] {
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    sched_yield();
  };
  FindsOneAlways(take);
  FindsOneAlways(take, [](pthread_t taker) { EXPECT_EQ(pthread_kill(taker, SIGUSR1), 0); });
}

// Who sent it to the process may let the only thread end that takes it.
TEST_F(SignalProcess, IsGivenBeforeKillReturns) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  Block();
  for (int round = 0; round < 300; ++round) {
    test::Gate end;
    std::atomic<bool> open{false};
    Thread taker([&] {
      pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
      open = true;
      end.Wait();
      return nullptr;
    });
    while (!open) sched_yield();
    const int before = test::handled;
    if (round % 2 == 0)
      ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
    else
      ASSERT_EQ(sigqueue(getpid(), SIGUSR1, {}), 0);
    end.Open();
    taker.Join();
    ASSERT_EQ(test::handled, before + 1) << "round " << round;
  }
}

// It waits for whoever unblocks it, is waited for, and is seen to be pending meanwhile.
TEST_F(SignalProcess, NobodyTakesIt) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  test::Gate gate, blocked;
  std::atomic<bool> done = false;
  // It could take it once.
  Thread other([&] {
    test::SleepMs(1);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    blocked.Open();
    gate.Wait();
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    done = true;
    return nullptr;
  });
  Block();
  blocked.Wait();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    sigset_t pending;
    EXPECT_TRUE(test::Eventually([&] { return sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1; }));
    EXPECT_EQ(test::handled, 0);
    int got = 0;
    EXPECT_EQ(sigwait(&set_, &got), 0);
    EXPECT_EQ(got, SIGUSR1);
  }
  EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
  test::LetThemWait();
  EXPECT_EQ(test::handled, 0);
  gate.Open();
  EXPECT_TRUE(test::Eventually([&] { return done.load(); }));
  EXPECT_TRUE(test::Eventually([&] { return test::handled == 1; }));
  EXPECT_EQ(test::handled_by, other.id());
}

// A thread waits for it before it comes.
TEST_F(SignalProcess, NobodyTakesItButAWaitForSignals) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  Thread([] { return nullptr; });  // which would have
  Block();
  std::atomic<int> got = 0;
  for (int round = 0; round < 5; ++round) {
    got = 0;
    Thread waiter([&] {
      int signal = 0;
      EXPECT_EQ(sigwait(&set_, &signal), 0);
      got = signal;
      return nullptr;
    });
    test::LetThemWait();
    EXPECT_EQ(kill(getpid(), SIGUSR1), 0);
    waiter.Join();
    EXPECT_EQ(got, SIGUSR1);
  }
  EXPECT_EQ(test::handled, 0);
}

// One that all block is pending at once; the thread that opens it takes it before its call returns.
TEST_F(SignalProcess, PendingAndTakenAtOnce) {
  test::handled = 0;
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  Thread([] { return nullptr; });  // which would have taken it
  Block();
  Thread opener([&] {
    int unseen = 0, late = 0;
    for (int round = 1; round <= 1000; ++round) {
      kill(getpid(), SIGUSR1);
      sigset_t pending;
      sigpending(&pending);
      unseen += sigismember(&pending, SIGUSR1) != 1;
      pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
      late += test::handled != round;
      EXPECT_TRUE(test::Eventually([&] { return test::handled == round; }));
      pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    }
    EXPECT_EQ(unseen, 0);
    EXPECT_EQ(late, 0);
    return nullptr;
  });
  opener.Join();
}

// One that its own handler sends, and all block meanwhile, is handled as that returns.
TEST_F(SignalProcess, AgainByItsHandler) {
  static std::atomic<int> handled;
  handled = 0;
  test::Handler handler(
      SIGUSR1,
      [](int) {
        if (++handled % 2 == 1) kill(getpid(), SIGUSR1);
      },
      0);
  Block();
  auto run = [&] {
    int late = 0;
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    for (int round = 0; round < 1000; ++round) {
      int before = handled;
      kill(getpid(), SIGUSR1);
      late += handled != before + 2;
      EXPECT_TRUE(test::Eventually([&] { return handled == before + 2; }));
    }
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    EXPECT_EQ(late, 0);
    return nullptr;
  };
  Thread(run).Join();
  run();
}

// Nothing of what nobody takes is lost, nor out of order, however much there is.
TEST_F(SignalProcess, ManyWaitInOrder) {
  const int signal = SIGRTMIN + 3;
  test::Handler handler(signal, test::Count, 0);
  const sigset_t set = test::Set({signal});
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  for (int round = 0; round < 10; ++round) {
    Thread([&set] {  // would have taken it
      pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
      return nullptr;
    })
        .Join();
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(sigqueue(getpid(), signal, {.sival_int = i}), 0) << i;
    const timespec none = {};
    int wrong = 0;
    for (int i = 0; i < 1000; ++i) {
      siginfo_t info = {};
      wrong += sigtimedwait(&set, &info, &none) != signal || info.si_value.sival_int != i;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(sigtimedwait(&set, nullptr, &none), -1);
  }
  EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
}

TEST_F(SignalProcess, ValuesStayWithThem) {
  static std::atomic<int> sum;
  sum = 0;
  struct sigaction action = {}, old;
  action.sa_sigaction = [](int, siginfo_t* info, void*) { sum += info->si_value.sival_int; };
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  const int signal = SIGRTMIN + 3;
  const sigset_t set = test::Set({signal});
  ASSERT_EQ(sigaction(signal, &action, &old), 0);
  test::Gate gate;
  Thread waiter([&] {
    gate.Wait();
    return nullptr;
  });
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  for (int i = 1; i <= 100; ++i) EXPECT_EQ(sigqueue(getpid(), signal, {.sival_int = i}), 0);
  EXPECT_TRUE(test::Eventually([] { return sum == 5050; })) << sum;
  gate.Open();
  waiter.Join();
  EXPECT_EQ(sigaction(signal, &old, nullptr), 0);
  EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
}

}  // namespace
