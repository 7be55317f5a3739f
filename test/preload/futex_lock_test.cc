// SPDX-License-Identifier: Apache-2.0
// Tests what programs build of raw futexes: locks, condition variables, hand-overs, under load and with many threads.
#include <dirent.h>
#include <sched.h>

#include "futex_util.h"

namespace {

using test::Futex;
using test::kPrivate;
using test::Thread;
using test::Wait;
using test::Waiters;
using test::Wake;

// Three states: 0 free, 1 taken, 2 taken and others may wait (U. Drepper, Futexes are tricky, mutex 2).
class Lock {
 public:
  void Take() {
    uint32_t seen = 0;
    if (word_.compare_exchange_strong(seen, 1)) return;
    if (seen != 2) seen = word_.exchange(2);
    while (seen != 0) {
      Wait(&word_, 2);
      seen = word_.exchange(2);
    }
  }
  void Release() {
    if (word_.exchange(0) == 2) Wake(&word_);
  }
  void MustBeWoken() { word_ = 2; }
  const std::atomic<uint32_t>& word() const { return word_; }

 private:
  std::atomic<uint32_t> word_ = 0;
};

// Wakes one at a broadcast and hands the others over to the lock.
class Condition {
 public:
  void Await(Lock* lock) {
    const uint32_t seen = sequence_;
    lock->Release();
    Wait(&sequence_, seen);
    lock->Take();
    lock->MustBeWoken();  // others may have been moved to it
  }
  void Signal() {
    ++sequence_;
    Wake(&sequence_);
  }
  void Broadcast(Lock* lock) {
    const uint32_t now = ++sequence_;
    if (Futex(&sequence_, FUTEX_CMP_REQUEUE | kPrivate, 1, test::Count(INT_MAX), &lock->word(), now) == -EAGAIN)
      Wake(&sequence_, INT_MAX);
  }

 private:
  std::atomic<uint32_t> sequence_ = 0;
};

TEST(FutexLock, Excludes) {
  Lock lock;
  int64_t counter = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        lock.Take();
        const int64_t seen = counter;
        if (i % 64 == 0) sched_yield();
        counter = seen + 1;
        lock.Release();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 40'000);
}

TEST(FutexLock, QueueWithACondition) {
  Lock lock;
  Condition changed;
  constexpr int kItems = 4'000;
  constexpr int kRoom = 4;
  int queued = 0;
  int64_t produced = 0;
  int64_t consumed = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kItems; ++i) {
        lock.Take();
        while (queued == kRoom) changed.Await(&lock);
        ++queued;
        ++produced;
        changed.Broadcast(&lock);
        lock.Release();
      }
      return nullptr;
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kItems; ++i) {
        lock.Take();
        while (queued == 0) changed.Await(&lock);
        --queued;
        ++consumed;
        changed.Broadcast(&lock);
        lock.Release();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(queued, 0);
  EXPECT_EQ(produced, 4 * kItems);
  EXPECT_EQ(consumed, 4 * kItems);
}

TEST(FutexLock, SignalsOneAtATime) {
  Lock lock;
  Condition ready;
  int tokens = 0;
  int taken = 0;
  constexpr int kThreads = 100;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      lock.Take();
      while (tokens == 0) ready.Await(&lock);
      --tokens;
      ++taken;
      lock.Release();
      return nullptr;
    });
  }
  for (int t = 0; t < kThreads; ++t) {
    lock.Take();
    ++tokens;
    ready.Signal();
    lock.Release();
  }
  threads.clear();
  EXPECT_EQ(taken, kThreads);
}

TEST(FutexLock, PingPong) {
  std::atomic<uint32_t> turn = 0;
  auto play = [&](uint32_t me) {
    for (int i = 0; i < 20'000; ++i) {
      while (turn != me) Wait(&turn, 1 - me);
      turn = 1 - me;
      Wake(&turn);
    }
  };
  Thread other([&] {
    play(1);
    return nullptr;
  });
  play(0);
}

TEST(FutexLock, WaitsThatRaceWithTheirTimeouts) {
  // Wake-ups, timeouts and moves at about the same time: no wake-up may be counted for a waiter that timed out.
  std::atomic<uint32_t> words[2] = {};
  std::atomic<bool> stop = false;
  std::atomic<int64_t> woken = 0;
  std::vector<Thread> waiters;
  for (int t = 0; t < 6; ++t) {
    waiters.emplace_back([&, t] {
      int64_t mine = 0;
      for (int i = 0; !stop; ++i) {
        const timespec soon = {0, (i * 37 + t * 11) % 50 * 1'000};
        const long answer = Wait(&words[(i + t) % 2], 0, &soon);
        EXPECT_TRUE(answer == 0 || answer == -ETIMEDOUT) << answer;
        mine += answer == 0;
      }
      woken += mine;
      return nullptr;
    });
  }
  int64_t claimed = 0;
  Thread mover([&] {
    for (int i = 0; i < 3'000; ++i) {
      test::Requeue(&words[i % 2], 0, INT_MAX, &words[(i + 1) % 2]);
      if (i % 16 == 0) usleep(20);
    }
    return nullptr;
  });
  for (int i = 0; i < 3'000; ++i) {
    claimed += Wake(&words[i % 2], i % 3 + 1);
    if (i % 16 == 0) usleep(20);
  }
  mover.Join();
  stop = true;
  waiters.clear();
  EXPECT_EQ(woken, claimed);
}

constexpr int kMany = 400;

TEST(FutexLock, ManyWaitAtOnce) {
  std::atomic<uint32_t> word = 0;
  std::atomic<int> left = 0;
  std::vector<Thread> threads;
  threads.reserve(kMany);
  for (int i = 0; i < kMany; ++i) {
    threads.emplace_back([&] {
      while (word == 0) Wait(&word, 0);
      ++left;
      return nullptr;
    });
  }
  EXPECT_TRUE(test::AwaitWaiting(&word, kMany));
  EXPECT_EQ(left, 0);
  word = 1;
  EXPECT_EQ(Wake(&word, INT_MAX), kMany);
  threads.clear();
  EXPECT_EQ(left, kMany);
}

int KernelThreads() {
  DIR* tasks = opendir("/proc/self/task");
  int n = -2;  // . and ..
  while (readdir(tasks) != nullptr) ++n;
  closedir(tasks);
  return n;
}

TEST(UnderLibmnFutex, WaitersNeedNoKernelThreads) {
  std::atomic<uint32_t> words[kMany] = {};
  std::vector<Thread> threads;
  threads.reserve(kMany);
  for (auto& word : words) {
    threads.emplace_back([&] {
      const timespec t = {1'000, 0};
      while (word == 0) Wait(&word, 0, &word - words < kMany / 2 ? &t : nullptr);
      return nullptr;
    });
  }
  for (auto& word : words) EXPECT_TRUE(test::AwaitWaiting(&word, 1));
  EXPECT_LT(KernelThreads(), 16);
  for (auto& word : words) {
    word = 1;
    EXPECT_EQ(Wake(&word), 1);
  }
}

}  // namespace
