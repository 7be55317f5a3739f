// SPDX-License-Identifier: Apache-2.0
// Tests waiting and waking between kernel threads that were adopted as wired Gs: no scheduler runs.
#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/init/init.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace {

constexpr int64_t kMs = 1'000'000;

mn::Deadline In(int64_t ms, clockid_t clock = CLOCK_MONOTONIC) {
  return {clock, mn::clock_ns(clock) + ms * kMs};
}

struct Inside {
  Inside() { mn::enter(); }
  ~Inside() { mn::leave(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

int Wake(const void* key, int count) {
  Inside inside;
  return mn::wake(key, count, mn::WaitKind::kOther);
}

size_t Waiting(const void* key) {
  Inside inside;
  mn::Bucket* b = mn::bucket_of(key);
  mn::SpinGuard guard(b->lock);
  size_t n = 0;
  for (mn::Waiter* w = mn::first_waiter(b, key); w != nullptr; w = w->next) ++n;
  return n;
}

void AwaitQueue(const void* key, size_t length) {
  int64_t until = mn::now_ns() + 10 * mn::kNsPerSec;
  while (Waiting(key) != length) {
    ASSERT_LT(mn::now_ns(), until) << "the queue never had " << length;
    std::this_thread::yield();
  }
}

// A thread that waits once and notes how that ended.
class Sleeper {
 public:
  explicit Sleeper(const void* key, mn::WaitOptions options = {}, mn::WaitHooks hooks = {})
      : thread_([this, key, options, hooks]() mutable {
          g_.store(mn::self_g());
          Inside inside;
          result_.store(mn::wait_on(key, options, hooks));
        }) {}
  ~Sleeper() { Join(); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  int Join() {
    if (thread_.joinable()) thread_.join();
    return result_.load();
  }
  bool ended() const { return result_.load() != kPending; }
  mn::G* g() const { return g_.load(); }

 private:
  static constexpr int kPending = -1;

  std::atomic<int> result_{kPending};
  std::atomic<mn::G*> g_{nullptr};
  std::thread thread_;
};

class WaitQueue : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(mn::on()); }

  int key_ = 0;
};

TEST_F(WaitQueue, ThreadsAreAdoptedAsWired) {
  EXPECT_TRUE(mn::self_g()->wired);
  std::thread([] {
    EXPECT_EQ(mn::this_g(), nullptr);
    mn::G* g = mn::self_g();
    EXPECT_TRUE(g->wired);
    EXPECT_EQ(mn::self_g(), g);
    EXPECT_EQ(g->tp, reinterpret_cast<void*>(pthread_self()));
  }).join();
}

TEST_F(WaitQueue, WakesInOrderOfArrivalAndNoMoreThanAsked) {
  std::vector<std::unique_ptr<Sleeper>> sleepers;
  for (size_t i = 0; i < 4; ++i) {
    sleepers.push_back(std::make_unique<Sleeper>(&key_));
    AwaitQueue(&key_, i + 1);
  }
  EXPECT_EQ(Wake(&key_, 0), 0);
  EXPECT_EQ(Wake(&key_, 1), 1);
  EXPECT_EQ(sleepers[0]->Join(), 0);
  EXPECT_EQ(Waiting(&key_), 3u);
  EXPECT_EQ(Wake(&key_, 2), 2);
  EXPECT_EQ(sleepers[1]->Join(), 0);
  EXPECT_EQ(sleepers[2]->Join(), 0);
  EXPECT_FALSE(sleepers[3]->ended());
  EXPECT_EQ(Wake(&key_, 100), 1);
  EXPECT_EQ(sleepers[3]->Join(), 0);
  EXPECT_EQ(Wake(&key_, 100), 0);
}

TEST_F(WaitQueue, OtherKeysAreNotWoken) {
  alignas(8) std::array<int, 2> keys{};  // one bucket
  Sleeper first(&keys[0]);
  AwaitQueue(&keys[0], 1);
  EXPECT_EQ(Wake(&keys[1], 10), 0);
  EXPECT_FALSE(first.ended());
  EXPECT_EQ(Wake(&keys[0], 10), 1);
  EXPECT_EQ(first.Join(), 0);
}

TEST_F(WaitQueue, TimesOutOnEitherClock) {
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    uint32_t counter = 5;
    int64_t begin = mn::now_ns();
    Sleeper sleeper(&key_, {In(20, clock), &counter});
    EXPECT_EQ(sleeper.Join(), ETIMEDOUT);
    EXPECT_GE(mn::now_ns() - begin, 19 * kMs);
    EXPECT_EQ(counter, 4u) << "it left the queue unwoken";
    EXPECT_EQ(Waiting(&key_), 0u);
  }
}

TEST_F(WaitQueue, TimeThatHasPassedStillQueuesAndTimesOut) {
  uint32_t counter = 5;
  Sleeper sleeper(&key_, {{CLOCK_MONOTONIC, 0}, &counter});
  EXPECT_EQ(sleeper.Join(), ETIMEDOUT);
  EXPECT_EQ(counter, 4u);
}

TEST_F(WaitQueue, WokenInTimeIsNoTimeOut) {
  uint32_t counter = 5;
  Sleeper sleeper(&key_, {In(60'000), &counter});
  AwaitQueue(&key_, 1);
  EXPECT_EQ(Wake(&key_, 1), 1);
  EXPECT_EQ(sleeper.Join(), 0);
  EXPECT_EQ(counter, 5u);
}

TEST_F(WaitQueue, CheckThatFailsDoesNotWait) {
  Inside inside;
  EXPECT_EQ(mn::wait_if(&key_, {}, [] { return false; }), EAGAIN);
}

TEST_F(WaitQueue, AfterRunsOnceTheBucketIsFree) {
  struct Probe {
    const void* key;
    std::atomic<int> runs{0};
    std::atomic<bool> lock_was_free{false};
  } probe{&key_, {}, {}};
  mn::WaitHooks hooks;
  hooks.after = [](void* arg) {
    auto* p = static_cast<Probe*>(arg);
    mn::SpinLock& lock = mn::bucket_of(p->key)->lock;
    for (int i = 0; i < 1000 && !p->lock_was_free.load(); ++i) {  // AwaitQueue takes it too
      if (lock.try_lock()) {
        lock.unlock();
        p->lock_was_free.store(true);
      } else {
        std::this_thread::yield();
      }
    }
    p->runs.fetch_add(1);
  };
  hooks.after_arg = &probe;
  Sleeper sleeper(&key_, {}, hooks);
  AwaitQueue(&key_, 1);
  EXPECT_EQ(Wake(&key_, 1), 1);
  EXPECT_EQ(sleeper.Join(), 0);
  EXPECT_EQ(probe.runs.load(), 1);
  EXPECT_TRUE(probe.lock_was_free.load());
}

TEST_F(WaitQueue, CanBeInterrupted) {
  uint32_t counter = 5;
  Sleeper first(&key_);
  AwaitQueue(&key_, 1);
  Sleeper middle(&key_, {{}, &counter});
  AwaitQueue(&key_, 2);
  Sleeper last(&key_);
  AwaitQueue(&key_, 3);
  {
    Inside inside;
    middle.g()->cancel_poke.store(true);
    EXPECT_TRUE(mn::interrupt_wait(middle.g()));
    EXPECT_FALSE(mn::interrupt_wait(mn::this_g())) << "waits for nothing";
  }
  EXPECT_EQ(middle.Join(), EINTR);
  EXPECT_EQ(counter, 4u);
  EXPECT_EQ(Wake(&key_, 10), 2);
  EXPECT_EQ(first.Join(), 0);
  EXPECT_EQ(last.Join(), 0);
}

// Whoever meant to interrupt an earlier wait is late: what it came for has been looked up.
TEST_F(WaitQueue, IsNotInterruptedForNothing) {
  Sleeper sleeper(&key_);
  AwaitQueue(&key_, 1);
  {
    Inside inside;
    EXPECT_FALSE(mn::interrupt_wait(sleeper.g()));
  }
  EXPECT_EQ(Waiting(&key_), 1u);
  EXPECT_EQ(Wake(&key_, 1), 1);
  EXPECT_EQ(sleeper.Join(), 0);
}

// The memory of a mutex that is gone may be a semaphore by the time the last unlock wakes.
TEST_F(WaitQueue, WakesOneKindOnly) {
  Sleeper sleeper(&key_, {.kind = mn::WaitKind::kSem});
  AwaitQueue(&key_, 1);
  {
    Inside inside;
    EXPECT_EQ(mn::wake(&key_, 1, mn::WaitKind::kMutex), 0);
    EXPECT_EQ(mn::wake(&key_, 1, mn::WaitKind::kSem), 1);
  }
  EXPECT_EQ(sleeper.Join(), 0);
}

TEST_F(WaitQueue, APokeBeforeTheWaitEndsItAtOnce) {
  mn::G* g = mn::self_g();
  uint32_t counter = 5;
  g->cancel_poke.store(true);
  Inside inside;
  EXPECT_EQ(mn::wait_if(&key_, {In(5'000), &counter}, [] { return true; }), EINTR);
  EXPECT_EQ(counter, 4u);
  EXPECT_FALSE(g->cancel_poke.load()) << "it has been answered";
}

std::atomic<int> handled{0};

class WaitQueueSignals : public WaitQueue {
 protected:
  void SetUp() override {
    WaitQueue::SetUp();
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { handled.fetch_add(1); };
    ASSERT_EQ(mn::signal_action(SIGUSR1, &action, &old_), 0);
  }
  void TearDown() override { mn::signal_action(SIGUSR1, &old_, nullptr); }
  static void Raise(void*) { mn::raw_syscall(SYS_tgkill, mn::sys_getpid(), mn::sys_gettid(), SIGUSR1); }

  struct sigaction old_ {};
};

TEST_F(WaitQueueSignals, EndAWaitWithEintrAndRunOnLeaving) {
  Sleeper sleeper(&key_, {In(10'000), nullptr});
  AwaitQueue(&key_, 1);
  mn::raw_syscall(SYS_tgkill, mn::sys_getpid(), static_cast<long>(sleeper.g()->tid), SIGUSR1);
  EXPECT_EQ(sleeper.Join(), EINTR);
  EXPECT_EQ(handled.load(), 1);
}

// The check sends the signal: it is noted after the thread has gone inside and before it queues.
TEST_F(WaitQueueSignals, JustBeforeQueueingAreNotLost) {
  mn::WaitHooks hooks;
  hooks.before = [](void*) {
    Raise(nullptr);
    return true;
  };
  Sleeper sleeper(&key_, {In(3'000), nullptr}, hooks);
  EXPECT_EQ(sleeper.Join(), EINTR);
  EXPECT_EQ(handled.load(), 1);
}

// After the last look at pending signals and before the kernel puts the thread to sleep.
TEST_F(WaitQueueSignals, JustBeforeSleepingAreNotLost) {
  mn::WaitHooks hooks;
  hooks.after = Raise;
  int64_t begin = mn::now_ns();
  Sleeper sleeper(&key_, {In(3'000), nullptr}, hooks);
  EXPECT_EQ(sleeper.Join(), EINTR);
  EXPECT_LT(mn::now_ns() - begin, 1'500 * kMs) << "it slept until the deadline, though a signal was pending";
  EXPECT_EQ(handled.load(), 1);
}

// Everybody wakes one and waits: no wake-up is lost and none is invented.
TEST_F(WaitQueue, TokensAreConserved) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 3'000;
  struct Semaphore {
    std::atomic<int> tokens{0};
    void Post() {
      tokens.fetch_add(1);
      Inside inside;
      mn::wake(this, 1, mn::WaitKind::kOther);
    }
    void Wait() {
      for (;;) {
        int n = tokens.load();
        if (n > 0 && tokens.compare_exchange_weak(n, n - 1)) return;
        if (n > 0) continue;
        Inside inside;
        mn::wait_if(this, {}, [this] { return tokens.load() == 0; });
      }
    }
  };
  std::array<Semaphore, kThreads> ring;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&ring, t] {
      mn::self_g();
      for (int i = 0; i < kRounds; ++i) {
        ring[t].Wait();
        ring[(t + 1) % kThreads].Post();
      }
    });
  ring[0].Post();
  ring[2].Post();
  for (std::thread& t : threads) t.join();
  int left = 0;
  for (Semaphore& s : ring) left += s.tokens.load();
  EXPECT_EQ(left, 2);
}

}  // namespace
