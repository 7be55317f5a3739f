// SPDX-License-Identifier: Apache-2.0
// Signals for threads that compute while others do, too, so that they have been preempted when the signal comes: the
// handler is told where they compute, as a profiler needs it, and they go on from there, or elsewhere if it says so.
#include <dlfcn.h>
#include <setjmp.h>
#include <ucontext.h>

#include <string>
#include <vector>

#include "signals.h"

namespace {

using test::Thread;

constexpr int kThreads = 8;

struct Samples {
  std::atomic<int> taken = 0, inside = 0;
  std::atomic<uintptr_t> elsewhere = 0;  // where the last was that was not inside
};
Samples samples;
std::atomic<bool> over;
std::atomic<int> running, spinning;

// All of it is between the two labels.
extern "C" const char spin_begin[];
extern "C" const char spin_end[];
__attribute__((noinline, noclone)) void Spin(std::atomic<bool>* until) {
  __asm__ volatile(
      ".globl spin_begin, spin_end\n"
      "spin_begin:\n"
      "lock incl (%1)\n"
      "1: incq %%rax; imulq $3, %%rax, %%rcx; xorq %%rcx, %%rax\n"
      "cmpb $0, (%0)\n"
      "je 1b\n"
      "spin_end:\n" ::"r"(until),
      "r"(&spinning)
      : "rax", "rcx", "cc", "memory");
}

// The object and the offset there.
std::string Named(uintptr_t pc) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(pc), &info) == 0) return "nowhere";
  char text[300];
  snprintf(text, sizeof text, "%s+%#zx", info.dli_fname,
           static_cast<size_t>(pc - reinterpret_cast<uintptr_t>(info.dli_fbase)));
  return text;
}

void Sample(int, siginfo_t*, void* context) {
  const auto pc = static_cast<uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  if (pc >= reinterpret_cast<uintptr_t>(spin_begin) && pc < reinterpret_cast<uintptr_t>(spin_end))
    ++samples.inside;
  else
    samples.elsewhere = pc;
  ++samples.taken;
}

class SignalPreempted : public test::Signal {
 protected:
  static void Handle(int sig, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    ASSERT_EQ(sigaction(sig, &action, nullptr), 0);
  }
};

TEST_F(SignalPreempted, AProfilerSeesWhereTheyCompute) {
  Handle(SIGUSR2, Sample);
  over = false;
  spinning = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([]() -> void* {
      Spin(&over);
      return nullptr;
    });
  ASSERT_TRUE(test::Eventually([] { return spinning == kThreads; }));
  int sent = 0;
  for (int round = 0; round < 3; ++round)
    for (Thread& thread : threads) {
      ASSERT_EQ(pthread_kill(thread.id(), SIGUSR2), 0);
      ++sent;
      ASSERT_TRUE(test::Eventually([&] { return samples.taken == sent; }));
    }
  over = true;
  threads.clear();
  EXPECT_EQ(samples.inside, sent) << Named(samples.elsewhere);
}

// Sums that any register or flag that is lost would change.
double Compute(unsigned rounds) {
  double sum = 0, factor = 1.0000001;
  uint64_t hash = 0x9e3779b97f4a7c15;
  for (unsigned i = 0; i < rounds; ++i) {
    sum = sum * factor + static_cast<double>(i & 0xff);
    hash = (hash ^ i) * 0x100000001b3;
    if (sum > 1e9) sum -= 1e9;
  }
  return sum + static_cast<double>(hash >> 40);
}

void UseRegisters(int, siginfo_t*, void*) {
  volatile double x = 1;
  for (int i = 0; i < 20; ++i) x = x / 3 + 0.5;
  ++samples.taken;
}

TEST_F(SignalPreempted, TheyComputeRight) {
  Handle(SIGUSR2, UseRegisters);
  constexpr unsigned kRounds = 20'000'000;
  const double expected = Compute(kRounds);
  std::atomic<int> left = kThreads;
  std::vector<Thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&]() -> void* {
      EXPECT_EQ(Compute(kRounds), expected);
      --left;
      return nullptr;
    });
  samples.taken = 0;
  for (unsigned i = 0; left > 0; ++i) {
    pthread_kill(threads[i % kThreads].id(), SIGUSR2);
    test::SleepMs(1);
  }
  threads.clear();
  EXPECT_GT(samples.taken, 0);
}

thread_local sigjmp_buf back;

void Elsewhere() {
  siglongjmp(back, 1);
}

void GoElsewhere(int, siginfo_t*, void* context) {
  auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  regs[REG_RSP] = ((regs[REG_RSP] - 4096) & ~greg_t{15}) - 8;
  regs[REG_RIP] = reinterpret_cast<greg_t>(&Elsewhere);
}

TEST_F(SignalPreempted, TheyGoOnElsewhere) {
  Handle(SIGUSR2, GoElsewhere);
  running = 0;
  std::atomic<bool> never = false;
  std::vector<Thread> threads;
  std::vector<std::atomic<int>> arrivals(kThreads);
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i]() -> void* {
      volatile int round = 0;
      if (sigsetjmp(back, 0) != 0) round = round + 1;
      arrivals[static_cast<size_t>(i)] = round;
      if (round == 0) ++running;
      if (round == 5) return nullptr;
      Spin(&never);
      return nullptr;
    });
  ASSERT_TRUE(test::Eventually([] { return running == kThreads; }));
  for (int round = 1; round <= 5; ++round)
    for (size_t i = 0; i < kThreads; ++i) {
      test::SleepMs(2);
      ASSERT_EQ(pthread_kill(threads[i].id(), SIGUSR2), 0);
      ASSERT_TRUE(test::Eventually([&] { return arrivals[i] == round; }));
    }
}

}  // namespace
