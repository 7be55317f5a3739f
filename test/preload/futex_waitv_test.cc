// SPDX-License-Identifier: Apache-2.0
// Tests the younger futex calls: futex_waitv (Linux 5.16), futex_wake, futex_wait and futex_requeue (6.7). A kernel
// that lacks one says ENOSYS, and so must whoever stands in front of it.
#include "futex_util.h"

namespace {

using test::Answer;
using test::Thread;
using test::Wait;
using test::Waiters;
using test::Waiting;
using test::Wake;

constexpr long kWaitv = 449, kWake2 = 454, kWait2 = 455, kRequeue2 = 456;
constexpr uint32_t kFlags = 2 | FUTEX_PRIVATE_FLAG;  // 32 bits
constexpr unsigned kMostWords = 128;

struct Item {
  uint64_t value;
  uint64_t word;
  uint32_t flags = kFlags;
  uint32_t reserved = 0;
};

Item On(const void* word, uint64_t value = 0) {
  return {value, reinterpret_cast<uintptr_t>(word)};
}

long Waitv(const Item* items, size_t n, const timespec* deadline = nullptr, int clock = CLOCK_MONOTONIC,
           unsigned flags = 0) {
  return Answer(syscall(kWaitv, items, n, flags, deadline, clock));
}
long Waitv(const std::vector<Item>& items, const timespec* deadline = nullptr, int clock = CLOCK_MONOTONIC) {
  return Waitv(items.data(), items.size(), deadline, clock);
}

long Wake2(const void* word, unsigned long bits, int count, unsigned flags = kFlags) {
  return Answer(syscall(kWake2, word, bits, count, flags));
}
long Wait2(const void* word, unsigned long value, unsigned long bits = ~0u, const timespec* deadline = nullptr,
           int clock = CLOCK_MONOTONIC, unsigned flags = kFlags) {
  return Answer(syscall(kWait2, word, value, bits, flags, deadline, clock));
}
long Requeue2(const Item* pair, int wakes, int moves, unsigned flags = 0) {
  return Answer(syscall(kRequeue2, pair, flags, wakes, moves));
}

// By a call that no library sees.
bool KernelHas(long number) {
  return test::InlineSyscall(number, nullptr, 0, 0, -1) != -ENOSYS;
}

// Runs the test's body where the kernel has the call.
#define ONLY_WITH(number, call)     \
  if (!KernelHas(number)) {         \
    Thread([] { return nullptr; }); \
    EXPECT_EQ(call, -ENOSYS);       \
    return;                         \
  }

TEST(FutexWaitv, TellsWhichWasWoken) {
  const uint32_t words[3] = {};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  Waiters waiters(&words[2]);
  for (int i = 0; i < 3; ++i) waiters.Add([&] { return Waitv({On(&words[0]), On(&words[1]), On(&words[2])}); });
  EXPECT_EQ(Waiting(&words[0]), 3);
  EXPECT_EQ(Wake(&words[1]), 1);
  EXPECT_EQ(waiters.AnswerOf(0), 1);
  EXPECT_EQ(Waiting(&words[2]), 2);
  EXPECT_EQ(Wake(&words[2]), 1);
  EXPECT_EQ(waiters.AnswerOf(1), 2);
  EXPECT_EQ(Wake(&words[0], INT_MAX), 1);
  EXPECT_EQ(waiters.AnswerOf(2), 0);
  for (const auto& word : words) EXPECT_EQ(Wake(&word, INT_MAX), 0);
}

TEST(FutexWaitv, AllWordsMustBeAsExpected) {
  const uint32_t words[3] = {0, 1, 2};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  test::HereAndInAThread([&] {
    EXPECT_EQ(Waitv({On(&words[0], 0), On(&words[1], 1), On(&words[2], 3)}), -EAGAIN);
    EXPECT_EQ(Waitv({On(&words[0], 1), On(&words[1], 1)}), -EAGAIN);
    const timespec past = {0, 0};
    EXPECT_EQ(Waitv({On(&words[0], 0), On(&words[1], 1), On(&words[2], 2)}, &past), -ETIMEDOUT);
    for (const auto& word : words) EXPECT_EQ(Waiting(&word), 0);
  });
}

TEST(FutexWaitv, DeadlinesOnEitherClock) {
  const uint32_t words[2] = {};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  test::HereAndInAThread([&] {
    for (const int clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
      const timespec soon = test::In(clock, 15);
      EXPECT_EQ(Waitv({On(&words[0]), On(&words[1])}, &soon, clock), -ETIMEDOUT);
      EXPECT_GE(test::NowNs(clock), test::ToNs(soon));
    }
  });
}

TEST(FutexWaitv, AsManyWordsAsThereMayBe) {
  static uint32_t words[kMostWords + 1];
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  std::vector<Item> items;
  for (auto& word : words) items.push_back(On(&word));
  EXPECT_EQ(Waitv(items), -EINVAL);
  items.pop_back();
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  std::atomic<long> answer = -1;
  Thread waiter(
      [&] {
        answer = Waitv(items);
        return nullptr;
      },
      &small);
  EXPECT_TRUE(test::AwaitWaiting(&words[kMostWords - 1], 1));
  EXPECT_EQ(Wake(&words[kMostWords / 2]), 1);
  waiter.Join();
  EXPECT_EQ(answer, kMostWords / 2);
  for (auto& word : words) EXPECT_EQ(Waiting(&word), 0);
  pthread_attr_destroy(&small);
}

TEST(FutexWaitv, BesidePlainWaits) {
  const uint32_t words[2] = {};
  const uint32_t to = 0;
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  Waiters waiters(&words[0]);
  waiters.AddPlain(1);
  waiters.Add([&] { return Waitv({On(&words[1]), On(&words[0])}); });
  waiters.AddPlain(1);
  EXPECT_EQ(test::Requeue(&words[0], 1, INT_MAX, &to), 3);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_EQ(test::WakeBits(&to, 1, 4), 1);
  EXPECT_EQ(waiters.AnswerOf(1), 1);
  EXPECT_EQ(Wake(&to, INT_MAX), 1);
  EXPECT_EQ(Waiting(&words[1]), 0);
}

TEST(FutexWaitv, OneWordTwice) {
  const uint32_t word = 0;
  ONLY_WITH(kWaitv, Waitv({On(&word)}));
  std::atomic<long> answer = -1;
  Thread waiter([&] {
    answer = Waitv({On(&word), On(&word)});
    return nullptr;
  });
  EXPECT_TRUE(test::AwaitWaiting(&word, 2));
  EXPECT_EQ(Wake(&word, 1), 1);
  waiter.Join();
  EXPECT_EQ(answer, 0);
}

TEST(FutexWaitv, HandlersEndItUnlessTheyRestart) {
  const uint32_t words[2] = {};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  const timespec later = test::In(CLOCK_MONOTONIC, 1'000'000);
  for (const timespec* deadline : {static_cast<const timespec*>(nullptr), &later}) {
    Waiters waiters(&words[0]);
    for (int i = 0; i < 2; ++i) waiters.Add([&] { return Waitv({On(&words[0]), On(&words[1])}, deadline); });
    {
      const test::Handler handler(SA_RESTART);
      EXPECT_EQ(pthread_kill(waiters.id(0), SIGUSR1), 0);
      EXPECT_TRUE(test::Eventually([&] { return handler.runs() == 1; }));
      EXPECT_TRUE(test::AwaitWaiting(&words[0], 2));
    }
    const test::Handler handler(0);
    EXPECT_EQ(pthread_kill(waiters.id(1), SIGUSR1), 0);
    EXPECT_EQ(waiters.AnswerOf(1), -EINTR);
    EXPECT_FALSE(waiters.Done(0));
    EXPECT_EQ(Wake(&words[1], INT_MAX), 1);
    EXPECT_EQ(waiters.AnswerOf(0), 1);
  }
}

TEST(FutexWaitv, WakersOfSeveralWordsAtOnce) {
  // Each round every word changes; the waiter sees all rounds, whichever word woke it.
  constexpr int kWords = 4;
  constexpr int kRounds = 2'000;
  std::atomic<uint32_t> words[kWords] = {};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  std::atomic<int> seen = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        std::vector<Item> items;
        uint32_t sum = 0;
        for (auto& word : words) {
          const uint32_t now = word;
          sum += now;
          items.push_back(On(&word, now));
        }
        if (sum == kWords * kRounds) break;
        const long answer = Waitv(items);
        EXPECT_TRUE(answer == -EAGAIN || (answer >= 0 && answer < kWords)) << answer;
      }
      ++seen;
      return nullptr;
    });
  }
  for (auto& word : words) {
    threads.emplace_back([&word] {
      for (int i = 0; i < kRounds; ++i) {
        ++word;
        Wake(&word, INT_MAX);
        if (i % 100 == 0) usleep(10);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(seen, 3);
}

TEST(FutexWaitv, BadArguments) {
  alignas(8) uint32_t words[2] = {};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  test::HereAndInAThread([&] {
    const timespec none = {0, 0};
    const timespec long_ns = {0, 1'000'000'000};
    Item items[2] = {On(&words[0]), On(&words[1])};
    EXPECT_EQ(Waitv(items, 0), -EINVAL);
    EXPECT_EQ(Waitv(nullptr, 1), -EINVAL);
    EXPECT_EQ(Waitv(reinterpret_cast<Item*>(8), 1), -EFAULT);
    EXPECT_EQ(Waitv(items, 2, nullptr, CLOCK_MONOTONIC, 1), -EINVAL);
    EXPECT_EQ(Waitv(items, 2, &none, 7), -EINVAL);
    EXPECT_EQ(Waitv(items, 2, &long_ns), -EINVAL);
    EXPECT_EQ(Waitv(items, 2, reinterpret_cast<timespec*>(8)), -EFAULT);
    for (auto break_it : std::vector<std::function<void(Item*)>>{
             [](Item* i) { i->reserved = 1; }, [](Item* i) { i->flags = 1; }, [](Item* i) { i->word += 2; },
             [](Item* i) { i->value = 1ull << 32; }}) {
      Item broken[2] = {items[0], items[1]};
      break_it(&broken[1]);
      EXPECT_EQ(Waitv(broken, 2, &none), -EINVAL);
    }
    items[1].word = 8192;
    EXPECT_EQ(Waitv(items, 2), -EFAULT);
    EXPECT_EQ(Waiting(&words[0]), 0);
  });
}

TEST(FutexWaitv, WordsOfSeveralProcesses) {
  const uint32_t words[2] = {};
  ONLY_WITH(kWaitv, Waitv({On(words)}));
  Waiters waiters(&words[1]);
  waiters.Add([&] {
    Item shared = On(&words[0]);
    shared.flags = 2;
    return Waitv({shared, On(&words[1])});
  });
  EXPECT_EQ(Waiting(&words[0], 0), 1);
  EXPECT_EQ(Wake(&words[1]), 1) << "found where the kernel has it";
  EXPECT_EQ(waiters.AnswerOf(0), 1);
}

TEST(Futex2, WaitsAndWakesWithTheOthers) {
  const uint32_t word = 0;
  ONLY_WITH(kWait2, Wait2(&word, 0));
  Waiters waiters(&word);
  waiters.Add([&] { return Wait2(&word, 0); });
  waiters.Add([&] { return Wait2(&word, 0, 2); });
  waiters.AddPlain(2);
  EXPECT_EQ(Wake2(&word, ~0u, 0), 0);
  EXPECT_EQ(Wake2(&word, 2, 1), 1);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_EQ(Wake(&word, 1), 1);
  EXPECT_EQ(waiters.AnswerOf(1), 0);
  EXPECT_EQ(Wake2(&word, ~0u, -3), 1);
  EXPECT_EQ(Wake2(&word, ~0u, INT_MAX), 1);
}

TEST(Futex2, Requeues) {
  const uint32_t from = 0;
  const uint32_t to = 0;
  const Item pair[2] = {On(&from), On(&to, 99)};
  ONLY_WITH(kRequeue2, Requeue2(pair, 1, 1));
  Waiters waiters(&from);
  waiters.AddPlain(3);
  const Item wrong[2] = {On(&from, 1), On(&to)};
  EXPECT_EQ(Requeue2(wrong, 1, 1), -EAGAIN);
  EXPECT_EQ(Requeue2(pair, -1, 1), -EINVAL);
  EXPECT_EQ(Requeue2(pair, 1, 1, 1), -EINVAL);
  EXPECT_EQ(Requeue2(pair, 1, 1), 2);
  EXPECT_EQ(waiters.AnswerOf(0), 0);
  EXPECT_EQ(Waiting(&to), 1);
  EXPECT_EQ(Wake2(&to, 1, INT_MAX), 1);
  EXPECT_EQ(Wake(&from, INT_MAX), 1);
}

TEST(Futex2, DeadlinesAndErrors) {
  const uint32_t word = 0;
  ONLY_WITH(kWait2, Wait2(&word, 0));
  test::HereAndInAThread([&] {
    for (const int clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
      const timespec soon = test::In(clock, 10);
      EXPECT_EQ(Wait2(&word, 0, 1, &soon, clock), -ETIMEDOUT);
      EXPECT_GE(test::NowNs(clock), test::ToNs(soon));
      EXPECT_EQ(Wait2(&word, 1, 1, &soon, clock), -EAGAIN);
    }
    const timespec past = {0, 0};
    EXPECT_EQ(Wait2(&word, 0, 0), -EINVAL);
    EXPECT_EQ(Wait2(&word, 1ul << 32), -EINVAL);
    EXPECT_EQ(Wait2(&word, 0, 1ul << 32), -EINVAL);
    EXPECT_EQ(Wait2(&word, 0, 1, &past, 9), -EINVAL);
    EXPECT_EQ(Wait2(&word, 0, 1, &past, CLOCK_MONOTONIC, 3 | FUTEX_PRIVATE_FLAG), -EINVAL);
    EXPECT_EQ(Wait2(nullptr, 0), -EFAULT);
    EXPECT_EQ(Wake2(&word, 0, 1), -EINVAL);
    EXPECT_EQ(Wake2(&word, 1ul << 32, 1), -EINVAL);
    EXPECT_EQ(Wake2(&word, 1, 1, ~0u), -EINVAL);
  });
}

TEST(Futex2, RestartsAfterHandlersThatSaySo) {
  const uint32_t word = 0;
  ONLY_WITH(kWait2, Wait2(&word, 0));
  Waiters waiters(&word);
  waiters.Add([&] {
    const timespec later = test::In(CLOCK_MONOTONIC, 1'000'000);
    return Wait2(&word, 0, 1, &later);
  });
  {
    const test::Handler handler(SA_RESTART);
    EXPECT_EQ(pthread_kill(waiters.id(0), SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return handler.runs() == 1; }));
    EXPECT_TRUE(test::AwaitWaiting(&word, 1));
  }
  const test::Handler handler(0);
  EXPECT_EQ(pthread_kill(waiters.id(0), SIGUSR1), 0);
  EXPECT_EQ(waiters.AnswerOf(0), -EINTR);
}

}  // namespace
