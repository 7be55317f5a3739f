// SPDX-License-Identifier: Apache-2.0
// Tests the runtime's spin lock (exclusion) and note (one-shot event, deadline, signals).
#include "runtime/os/lock.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <thread>
#include <vector>

#include "real_libc.h"
#include "runtime/os/clock.h"

namespace {

using namespace std::chrono_literals;

TEST(SpinLock, ExcludesAndPublishes) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 50'000;
  mn::SpinLock lock;
  int64_t counter = 0;  // plain: the lock guards it
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        if (t == 0) {
          while (!lock.try_lock()) mn::cpu_relax();
        } else {
          lock.lock();
        }
        ++counter;
        lock.unlock();
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(counter, kThreads * kRounds);
}

TEST(SpinLock, TryLockFailsWhileHeld) {
  mn::SpinLock lock;
  {
    mn::SpinGuard guard(lock);
    EXPECT_FALSE(lock.try_lock());
  }
  EXPECT_TRUE(lock.try_lock());
  lock.reset_after_fork();
  EXPECT_TRUE(lock.try_lock());
}

TEST(Note, SignalBeforeSleepIsRemembered) {
  mn::Note note;
  EXPECT_FALSE(note.signalled());
  note.signal();
  EXPECT_TRUE(note.signalled());
  EXPECT_TRUE(note.sleep());
  EXPECT_TRUE(note.sleep(0)) << "until cleared";
  note.clear();
  EXPECT_FALSE(note.sleep(mn::now_ns()));
}

TEST(Note, SleepEndsAtTheDeadline) {
  mn::Note note;
  int64_t begin = mn::now_ns();
  EXPECT_FALSE(note.sleep(begin + 20'000'000));
  EXPECT_GE(mn::now_ns() - begin, 20'000'000);
  EXPECT_FALSE(note.signalled());
}

TEST(Note, PingPongLosesNothing) {
  constexpr int kRounds = 20'000;
  mn::Note there;
  mn::Note back;
  int shared = 0;  // plain: the notes publish it
  std::thread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      there.sleep();
      there.clear();
      ++shared;
      back.signal();
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    there.signal();
    ASSERT_TRUE(back.sleep(mn::now_ns() + 10 * mn::kNsPerSec));
    back.clear();
    ASSERT_EQ(shared, i + 1);
  }
  other.join();
}

// The deadline and the signal meet: sleep() says false only when it took nothing.
TEST(Note, SignalAtTheDeadlineIsNotLost) {
  for (int i = 0; i < 2'000; ++i) {
    mn::Note note;
    int64_t at = mn::now_ns() + 30'000;
    std::thread signaller([&] {
      while (mn::now_ns() < at) {
      }
      note.signal();
    });
    bool woken = note.sleep(at);
    signaller.join();
    ASSERT_TRUE(note.signalled());
    if (!woken) {
      ASSERT_TRUE(note.sleep());
    }
  }
}

class NoteSignals : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Interruptible, NoteSignals, testing::Bool());

TEST_P(NoteSignals, EndOnlyAnInterruptibleSleep) {
  struct sigaction action {};
  struct sigaction old {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &old);
  mn::Note note;
  std::atomic<bool> ended{false};
  bool woken = false;
  std::thread sleeper([&] {
    woken = note.sleep(-1, GetParam());
    ended.store(true);
  });
  for (int i = 0; i < 50 && !ended.load(); ++i) {
    pthread_kill(sleeper.native_handle(), SIGUSR1);
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_EQ(ended.load(), GetParam());
  if (!ended.load()) note.signal();
  sleeper.join();
  EXPECT_EQ(woken, !GetParam());
  sigaction(SIGUSR1, &old, nullptr);
}

}  // namespace
