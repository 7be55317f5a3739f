// SPDX-License-Identifier: Apache-2.0
// Tests alternate stacks beside each other: handlers that wait on theirs, in every way, while others' come and go.
#include <semaphore.h>
#include <setjmp.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "signals.h"

namespace {

using test::Thread;

constexpr int kAutodisarm = static_cast<int>(1u << 31);  // SS_AUTODISARM, which not every libc names
constexpr size_t kStack = 64 << 10;

// An alternate stack of the calling thread, which handlers find by `here`.
class AlternateStack {
 public:
  explicit AlternateStack(size_t size = kStack, int flags = 0) : memory_(size) {
    const stack_t stack = {.ss_sp = memory_.data(), .ss_flags = flags, .ss_size = size};
    EXPECT_EQ(sigaltstack(&stack, &old_), 0);
    here = this;
  }
  ~AlternateStack() {
    EXPECT_EQ(sigaltstack(&old_, nullptr), 0);
    here = nullptr;
  }
  bool Holds(const void* p) const {
    const auto* at = static_cast<const char*>(p);
    return at >= memory_.data() && at < memory_.data() + memory_.size();
  }
  // Whether it is the calling thread's.
  bool Present() const {
    stack_t now;
    EXPECT_EQ(sigaltstack(nullptr, &now), 0);
    return now.ss_sp == memory_.data() && now.ss_size == memory_.size() && (now.ss_flags & SS_DISABLE) == 0;
  }
  static thread_local AlternateStack* here;

 private:
  std::vector<char> memory_;
  stack_t old_;
};
thread_local AlternateStack* AlternateStack::here = nullptr;

bool NoneHere() {
  stack_t now;
  EXPECT_EQ(sigaltstack(nullptr, &now), 0);
  return now.ss_flags == SS_DISABLE;
}

std::atomic<int> astray, overwritten;
void (*wait_in_handler)();
sem_t posted;
int ends[2];

// On the thread's own alternate stack, which nobody writes to meanwhile.
void WaitThere(int) {
  volatile char frame[2048];
  const auto mark = static_cast<char>(reinterpret_cast<uintptr_t>(&AlternateStack::here) >> 6);
  for (volatile char& c : frame) c = mark;
  astray += AlternateStack::here == nullptr || !AlternateStack::here->Holds(const_cast<char*>(frame));
  wait_in_handler();
  overwritten += !std::all_of(std::begin(frame), std::end(frame), [&](char c) { return c == mark; });
}

// On the alternate stack if the thread has one, else on its own.
void Pass(int) {
  volatile char frame[2048];
  for (volatile char& c : frame) c = 1;
  astray += AlternateStack::here != nullptr && !AlternateStack::here->Holds(const_cast<char*>(frame));
}

struct Wait {
  const char* name;
  void (*wait)();
};

const Wait kWaits[] = {
    {"Yield",
     [] {
       for (int i = 0; i < 20; ++i) sched_yield();
     }},
    {"Sleep", [] { test::SleepMs(2); }},
    {"Semaphore", [] { EXPECT_EQ(sem_wait(&posted), 0); }},
    {"Read",
     [] {
       char c;
       EXPECT_EQ(read(ends[0], &c, 1), 1);
     }},
    {"Select",
     [] {
       timeval time{0, 2000};
       select(0, nullptr, nullptr, nullptr, &time);
     }},
    {"Compute",
     [] {
       const int64_t end = test::NowNs() + 25'000'000;
       while (test::NowNs() < end) sched_getcpu();
     }},
};

class SignalStack : public testing::TestWithParam<Wait> {
 protected:
  void SetUp() override {
    astray = overwritten = 0;
    wait_in_handler = GetParam().wait;
    ASSERT_EQ(sem_init(&posted, 0, 0), 0);
    ASSERT_EQ(pipe(ends), 0);
  }
  void TearDown() override {
    EXPECT_EQ(astray, 0);
    EXPECT_EQ(overwritten, 0);
    close(ends[0]);
    close(ends[1]);
  }
};

// Some wait in handlers; of the others each second has an alternate stack, and all get signals all the time, of their
// own and of the process.
void Mingle(int flags) {
  constexpr int kWaiters = 3, kOthers = 4, kRounds = 15;
  test::Handler waits(SIGUSR1, WaitThere, SA_ONSTACK | SA_RESTART);
  test::Handler passes(SIGUSR2, Pass, SA_ONSTACK | SA_RESTART);
  std::atomic<int> waiting = kWaiters;
  std::vector<Thread> threads;
  for (int i = 0; i < kWaiters; ++i) {
    threads.emplace_back([&, i] {
      AlternateStack stack(kStack + static_cast<size_t>(i) * 4096, flags);
      for (int round = 0; round < kRounds; ++round) {
        EXPECT_EQ(raise(SIGUSR1), 0);
        EXPECT_TRUE(stack.Present());
        sched_yield();
        EXPECT_TRUE(stack.Present());
      }
      --waiting;
      return nullptr;
    });
  }
  for (int i = 0; i < kOthers; ++i) {
    threads.emplace_back([&, i] {
      std::optional<AlternateStack> stack;
      if (i % 2 == 0) stack.emplace(kStack / 2 + static_cast<size_t>(i) * 4096);
      while (waiting > 0) {
        EXPECT_EQ(raise(SIGUSR2), 0);
        if (i < 2) {
          EXPECT_EQ(kill(getpid(), SIGUSR2), 0);
        }
        EXPECT_TRUE(stack ? stack->Present() : NoneHere());
        sem_post(&posted);
        if (write(ends[1], "", 1) != 1) ADD_FAILURE();
        test::SleepMs(1);
      }
      return nullptr;
    });
  }
}

TEST_P(SignalStack, StaysWithAHandlerThatWaits) {
  Mingle(0);
}

TEST_P(SignalStack, StaysWithOneThatTheKernelDisarms) {
  Mingle(kAutodisarm);
}

std::atomic<int> passed, not_on_stack;

void PassOnStack(int signal) {
  Pass(signal);
  stack_t now;
  not_on_stack += sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_ONSTACK) == 0;
  ++passed;
}

// Whatever a thread does as it is sent a signal, the handler runs on the alternate stack.
TEST_P(SignalStack, TakesSignalsForAThread) {
  passed = not_on_stack = 0;
  test::Handler passes(SIGUSR2, PassOnStack, SA_ONSTACK | SA_RESTART);
  std::atomic<bool> over = false, begun = false;
  Thread thread([&] {
    AlternateStack stack;
    begun = true;
    while (!over) wait_in_handler();
    EXPECT_TRUE(stack.Present());
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return begun.load(); }));
  for (int i = 1; i <= 100; ++i) {
    EXPECT_EQ(pthread_kill(thread.id(), SIGUSR2), 0);
    EXPECT_TRUE(test::Eventually([&] { return passed >= i; }));
  }
  over = true;
  sem_post(&posted);
  EXPECT_EQ(write(ends[1], "", 1), 1);
  thread.Join();
  EXPECT_EQ(not_on_stack, 0);
}

thread_local sigjmp_buf out;

// A handler may jump out of it, and the next one runs there again.
TEST(SignalStackEnd, ByAJump) {
  astray = 0;
  test::Handler jumps(
      SIGUSR2,
      [](int signal) {
        Pass(signal);
        siglongjmp(out, 1);
      },
      SA_ONSTACK);
  std::atomic<int> jumped = 0, ready = 0;
  Thread thread([&] {
    AlternateStack stack;
    while (jumped < 50) {
      if (sigsetjmp(out, 1) != 0) ++jumped;
      EXPECT_TRUE(stack.Present());
      ready = jumped + 1;
      while (ready != 0 && jumped < 50) usleep(50);
    }
    return nullptr;
  });
  for (int i = 1; i <= 50; ++i) {
    EXPECT_TRUE(test::Eventually([&] { return ready == i; }));
    EXPECT_EQ(pthread_kill(thread.id(), SIGUSR2), 0);
    EXPECT_TRUE(test::Eventually([&] { return jumped >= i; }));
  }
  thread.Join();
  EXPECT_EQ(astray, 0);
}

INSTANTIATE_TEST_SUITE_P(All, SignalStack, testing::ValuesIn(kWaits),
                         [](const auto& row) { return std::string(row.param.name); });

// The same place, but less of it.
TEST(SignalStackSize, IsTheLastOneEverywhere) {
  std::vector<Thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      std::vector<char> memory(kStack);
      for (int round = 0; round < 50; ++round) {
        const stack_t stack = {
            .ss_sp = memory.data(), .ss_flags = 0, .ss_size = kStack / 2 + static_cast<size_t>(round) * 256};
        EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
        for (int turn = 0; turn < 5; ++turn) {
          usleep(100);
          stack_t now;
          EXPECT_EQ(sigaltstack(nullptr, &now), 0);
          EXPECT_EQ(now.ss_size, stack.ss_size);
        }
      }
      const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
      EXPECT_EQ(sigaltstack(&none, nullptr), 0);
      return nullptr;
    });
  }
}

// One that ends in a handler takes nothing along: not to whoever has its memory next.
TEST(SignalStackEnd, InAHandler) {
  test::Handler ends_there(
      SIGUSR1, [](int) { pthread_exit(nullptr); }, SA_ONSTACK);
  for (int round = 0; round < 20; ++round) {
    std::vector<char> memory(kStack);
    std::atomic<bool> begun = false;
    Thread thread([&] {
      const stack_t stack = {.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
      EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
      begun = true;
      pause();
      return nullptr;
    });
    EXPECT_TRUE(test::Eventually([&] { return begun.load(); }));
    test::LetThemWait();
    EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);
    thread.Join();
    Thread([] {
      EXPECT_TRUE(NoneHere());
      sched_yield();
      EXPECT_TRUE(NoneHere());
      return nullptr;
    });
  }
}

}  // namespace
