// SPDX-License-Identifier: Apache-2.0
// Tests what C++ builds on threads: thread, jthread, async, promise, stop tokens, parallel work.
#include <pthread.h>

#include <algorithm>
#include <future>
#include <memory>
#include <mutex>
#include <numeric>
#include <stop_token>
#include <thread>
#include <vector>

#include "util.h"

namespace {

TEST(Std, ThreadPassesArguments) {
  int sum = 0;
  auto owned = std::make_unique<int>(5);
  std::thread thread([](int a, std::unique_ptr<int> b, int& out) { out = a + *b; }, 37, std::move(owned),
                     std::ref(sum));
  EXPECT_TRUE(thread.joinable());
  EXPECT_EQ(thread.get_id(), std::thread::id(thread.native_handle()));
  thread.join();
  EXPECT_EQ(sum, 42);
  EXPECT_FALSE(thread.joinable());
}

TEST(Std, JoinErrors) {
  std::thread none;
  EXPECT_THROW(none.join(), std::system_error);
  std::thread self;
  std::promise<void> ready;
  auto is_ready = ready.get_future();
  std::error_code error;
  self = std::thread([&] {
    is_ready.wait();
    try {
      self.join();
    } catch (const std::system_error& e) {
      error = e.code();
    }
  });
  ready.set_value();
  self.join();
  EXPECT_EQ(error, std::errc::resource_deadlock_would_occur);
}

TEST(Std, JthreadStops) {
  std::atomic<int> rounds = 0;
  {
    std::jthread thread([&](const std::stop_token& token) {
      while (!token.stop_requested()) {
        ++rounds;
        std::this_thread::yield();
      }
    });
    EXPECT_TRUE(test::Eventually([&] { return rounds > 10; }));
  }
  EXPECT_GT(rounds, 10);
}

TEST(Std, ConditionVariableAnyWithStopToken) {
  std::mutex mutex;
  std::condition_variable_any cond;
  bool stopped = false;
  {
    std::jthread thread([&](std::stop_token token) {
      std::unique_lock lock(mutex);
      stopped = !cond.wait(lock, std::move(token), [] { return false; });
    });
    test::LetThemWait();
  }
  EXPECT_TRUE(stopped);
}

TEST(Std, PromiseAndFuture) {
  std::vector<std::promise<int>> promises(50);
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < promises.size(); ++i) {
    threads.emplace_back([&promises, i] {
      if (i % 10 == 3) {
        promises[i].set_exception(std::make_exception_ptr(std::runtime_error("three")));
      } else {
        promises[i].set_value(static_cast<int>(i * i));
      }
    });
  }
  for (size_t i = 0; i < promises.size(); ++i) {
    auto future = promises[i].get_future();
    if (i % 10 == 3) {
      EXPECT_THROW(future.get(), std::runtime_error);
    } else {
      EXPECT_EQ(future.get(), static_cast<int>(i * i));
    }
  }
}

TEST(Std, PromiseAtThreadExit) {
  std::promise<int> promise;
  auto future = promise.get_future();
  std::thread([&promise] { promise.set_value_at_thread_exit(6); }).detach();
  EXPECT_EQ(future.get(), 6);
  test::LetThemWait();
}

TEST(Std, FutureTimesOut) {
  std::promise<void> promise;
  auto future = promise.get_future();
  EXPECT_EQ(future.wait_for(std::chrono::milliseconds(5)), std::future_status::timeout);
  std::jthread thread([&] { promise.set_value(); });
  EXPECT_EQ(future.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(Std, Async) {
  std::function<int64_t(int)> fib = [&fib](int n) -> int64_t {
    if (n < 2) return n;
    if (n < 8) return fib(n - 1) + fib(n - 2);
    auto left = std::async(std::launch::async, fib, n - 1);
    const int64_t right = fib(n - 2);
    return left.get() + right;
  };
  EXPECT_EQ(fib(16), 987);
}

TEST(Std, AsyncThrows) {
  auto future = std::async(std::launch::async, []() -> int { throw std::logic_error("inside"); });
  EXPECT_THROW(future.get(), std::logic_error);
}

TEST(Std, ParallelSort) {
  // A merge sort with a thread for each half, down to small pieces.
  std::vector<uint32_t> values(50'000);
  uint32_t state = 12345;
  for (auto& value : values) value = state = state * 1664525 + 1013904223;
  auto expected = values;
  std::sort(expected.begin(), expected.end());
  std::function<void(size_t, size_t)> sort = [&](size_t begin, size_t end) {
    if (end - begin < 1'000) {
      std::sort(values.begin() + begin, values.begin() + end);
      return;
    }
    const size_t middle = begin + (end - begin) / 2;
    std::thread left(sort, begin, middle);
    sort(middle, end);
    left.join();
    std::inplace_merge(values.begin() + begin, values.begin() + middle, values.begin() + end);
  };
  sort(0, values.size());
  EXPECT_EQ(values, expected);
}

TEST(Std, SharedPointersAcrossThreads) {
  static std::atomic<int> alive;
  struct Counted {
    Counted() { ++alive; }
    ~Counted() { --alive; }
  };
  alive = 0;
  {
    auto shared = std::make_shared<Counted>();
    std::vector<std::jthread> threads;
    for (int i = 0; i < 10; ++i) {
      threads.emplace_back([shared] {
        for (int k = 0; k < 500; ++k) {
          auto copy = shared;
          EXPECT_GE(copy.use_count(), 2);
        }
      });
    }
  }
  EXPECT_EQ(alive, 0);
}

TEST(Std, AtomicWaitAndNotify) {
  std::atomic<int> turn = 0;
  auto player = [&turn](int me) {
    for (int i = 0; i < 300; ++i) {
      for (int now = turn; now % 2 != me; now = turn) turn.wait(now);
      ++turn;
      turn.notify_all();
    }
  };
  {
    std::jthread ping(player, 0);
    std::jthread pong(player, 1);
  }
  EXPECT_EQ(turn, 600);
}

TEST(Std, HardwareConcurrency) {
  EXPECT_GE(std::thread::hardware_concurrency(), 1u);
  std::thread([] { EXPECT_GE(std::thread::hardware_concurrency(), 1u); }).join();
}

}  // namespace
