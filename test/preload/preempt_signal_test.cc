// SPDX-License-Identifier: Apache-2.0
// Tests signals of threads that compute against each other: handlers that come while they are stopped, that compute
// themselves, on whatever stack, and that jump away.
#include <setjmp.h>
#include <string.h>
#include <sys/time.h>

#include <algorithm>

#include "rivals.h"
#include "signals.h"

namespace {

using test::kRivals;
using test::Thread;

class PreemptSignal : public test::Signal {};

constexpr size_t kStack = 64 << 10;

// An alternate stack for the calling thread.
class AlternateStack {
 public:
  AlternateStack() {
    const stack_t stack = {.ss_sp = memory_.data(), .ss_flags = 0, .ss_size = memory_.size()};
    EXPECT_EQ(sigaltstack(&stack, &old_), 0);
  }
  ~AlternateStack() {
    EXPECT_FALSE(Active());
    EXPECT_EQ(sigaltstack(&old_, nullptr), 0);
  }
  static bool Active() {
    stack_t now;
    EXPECT_EQ(sigaltstack(nullptr, &now), 0);
    return (now.ss_flags & SS_ONSTACK) != 0;
  }
  // Whether the calling thread's is the one of this object.
  bool Present() const {
    stack_t now;
    EXPECT_EQ(sigaltstack(nullptr, &now), 0);
    return now.ss_sp == memory_.data() && now.ss_size == memory_.size();
  }

 private:
  std::vector<char> memory_ = std::vector<char>(kStack);
  stack_t old_;
};

// A computation whose result is known.
uint64_t Sum(uint64_t seed) {
  uint64_t sum = 0;
  for (uint64_t k = 1; k < 100'000; ++k) {
    sum += seed * k;
    __asm__ volatile("" : "+r"(sum));
  }
  return sum;
}

void ExpectSums(int i) {
  const uint64_t seed = static_cast<uint64_t>(i) + 3;
  errno = 1000 + i;
  EXPECT_EQ(Sum(seed), seed * (99'999ull * 100'000 / 2));
  EXPECT_EQ(errno, 1000 + i);
}

// A thousand times a second, for the process.
class Ticks {
 public:
  explicit Ticks(__itimer_which which) : which_(which) {
    const itimerval every = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
    EXPECT_EQ(setitimer(which_, &every, &old_), 0);
  }
  ~Ticks() { EXPECT_EQ(setitimer(which_, &old_, nullptr), 0); }

 private:
  __itimer_which which_;
  itimerval old_;
};

void CountAndChange(int signal) {
  test::Count(signal);
  errno = EDOM;
  volatile double x = 2;
  x = x / 3;
}

void CountAndKeep(int signal) {
  const int saved = errno;
  CountAndChange(signal);
  errno = saved;
}

void Ticking(__itimer_which which, int signal, int flags) {
  test::Handler handler(signal, CountAndKeep, flags);
  Ticks ticks(which);
  test::Contend([](int i) {
    AlternateStack stack;
    ExpectSums(i);
    EXPECT_TRUE(stack.Present());
  });
  EXPECT_TRUE(test::Eventually([] { return test::handled > 0 || Sum(1) == 0; }));
}

TEST_F(PreemptSignal, OfTheRealTimer) {
  Ticking(ITIMER_REAL, SIGALRM, SA_RESTART);
}

TEST_F(PreemptSignal, OfAProfiler) {
  Ticking(ITIMER_PROF, SIGPROF, SA_RESTART);
}

TEST_F(PreemptSignal, OfAProfilerOnAnAlternateStack) {
  Ticking(ITIMER_PROF, SIGPROF, SA_RESTART | SA_ONSTACK);
}

TEST_F(PreemptSignal, OfTheVirtualTimer) {
  Ticking(ITIMER_VIRTUAL, SIGVTALRM, 0);
}

// Each computes until it has been sent several.
TEST_F(PreemptSignal, ForOneThread) {
  constexpr int kEach = 3;
  test::Handler handler(SIGUSR1, CountAndKeep);
  std::atomic<int> handled[kRivals] = {};
  std::atomic<int> working = kRivals;
  test::Gate end;
  std::vector<Thread> threads;
  for (int i = 0; i < kRivals; ++i) {
    threads.emplace_back([&, i] {
      while (test::handled_here < kEach) {
        ExpectSums(i);
        handled[i] = test::handled_here;
      }
      --working;
      end.Wait();
      return nullptr;
    });
  }
  int sent[kRivals] = {};
  while (working > 0) {
    for (size_t i = 0; i < kRivals; ++i) {
      if (sent[i] != handled[i] || sent[i] == kEach) continue;
      ++sent[i];
      EXPECT_EQ(pthread_kill(threads[i].id(), SIGUSR1), 0);
    }
    test::SleepMs(1);
  }
  end.Open();
  threads.clear();
  EXPECT_EQ(test::handled, kEach * kRivals);
}

std::atomic<bool> go;
std::atomic<int> spinning;

void SpinInHandler(int) {
  ++spinning;
  while (!go) {
  }
}

// All compute in handlers, and who lets them go has to run for that.
void HandlersThatSpin(int flags) {
  go = false;
  spinning = 0;
  test::Handler handler(SIGUSR1, SpinInHandler, flags);
  std::vector<Thread> threads;
  for (int i = 0; i < kRivals; ++i) {
    threads.emplace_back([] {
      AlternateStack stack;
      EXPECT_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
      EXPECT_TRUE(stack.Present());
      return nullptr;
    });
  }
  Thread([] {
    while (spinning < kRivals) {
    }
    go = true;
    return nullptr;
  });
}

TEST_F(PreemptSignal, HandlersThatSpin) {
  HandlersThatSpin(0);
}

TEST_F(PreemptSignal, HandlersThatSpinOnAnAlternateStack) {
  HandlersThatSpin(SA_ONSTACK);
}

// The same where the kernel delivers it.
TEST_F(PreemptSignal, FaultHandlersThatSpin) {
  for (const int flags : {0, SA_ONSTACK}) {
    go = false;
    spinning = 0;
    test::Handler handler(SIGTRAP, SpinInHandler, flags);
    std::vector<Thread> threads;
    for (int i = 0; i < kRivals; ++i) {
      threads.emplace_back([i] {
        AlternateStack stack;
        ExpectSums(i);
        __asm__ volatile("int3");
        ExpectSums(i);
        EXPECT_TRUE(stack.Present());
        return nullptr;
      });
    }
    Thread([] {
      while (spinning < kRivals) {
      }
      go = true;
      return nullptr;
    });
  }
}

thread_local sigjmp_buf away;
thread_local volatile sig_atomic_t may_jump;

void JumpAway(int signal) {
  test::Count(signal);
  if (may_jump) siglongjmp(away, 1);
}

void JumpsOut(int flags) {
  test::Handler handler(SIGUSR1, JumpAway, flags);
  test::Contend([](int i) {
    AlternateStack stack;
    for (int k = 0; k < 3; ++k) {
      volatile int where = 0;
      if (sigsetjmp(away, 1) == 0) {
        may_jump = 1;
        where = 1;
        pthread_kill(pthread_self(), SIGUSR1);
        ADD_FAILURE();
      }
      may_jump = 0;
      EXPECT_EQ(where, 1);
      EXPECT_FALSE(test::IsBlocked(SIGUSR1));
      EXPECT_FALSE(AlternateStack::Active());
      EXPECT_TRUE(stack.Present());
      ExpectSums(i);
    }
  });
}

TEST_F(PreemptSignal, HandlersThatJumpAway) {
  JumpsOut(0);
}

TEST_F(PreemptSignal, HandlersThatJumpAwayFromAnAlternateStack) {
  JumpsOut(SA_ONSTACK);
}

// Jumps out of computing loops, of a process-wide signal that may hit anywhere in them.
TEST_F(PreemptSignal, JumpsOutOfComputations) {
  test::Handler handler(SIGPROF, JumpAway, 0);
  std::atomic<int> jumps = 0;
  Ticks ticks(ITIMER_PROF);
  const int64_t end = test::NowNs() + 10 * test::kNsPerSecond;
  test::Contend([&](int i) {
    if (sigsetjmp(away, 1) != 0) {
      ++jumps;
    } else {
      may_jump = 1;
      for (int k = 0; k < 20; ++k) Sum(static_cast<uint64_t>(k));
    }
    may_jump = 0;
    EXPECT_FALSE(test::IsBlocked(SIGPROF));
    ExpectSums(i);
    EXPECT_TRUE(jumps > 0 || test::NowNs() < end);
  });
}

TEST_F(PreemptSignal, MasksStay) {
  test::Contend([](int i) {
    static const int kSignals[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM};
    sigset_t set = test::Set({kSignals[i % 4]});
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &set, nullptr), 0);
    test::ComputeABit();
    sigset_t now;
    // The kernel's own word.
    long result;
    register long r10 __asm__("r10") = 8;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(14L /* rt_sigprocmask */), "D"(0L), "S"(0L), "d"(&now), "r"(r10)
                     : "rcx", "r11", "memory");
    ASSERT_EQ(result, 0);
    for (int k = 0; k < 4; ++k) EXPECT_EQ(sigismember(&now, kSignals[k]), k == i % 4);
  });
}

}  // namespace
