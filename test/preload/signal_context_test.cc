// SPDX-License-Identifier: Apache-2.0
// Tests what handlers are told of the code that they interrupt, where that waits or does something else in a library: a
// collector of garbage finds the stack and the registers of its thread there, and a handler has it go on elsewhere.
#include <dlfcn.h>
#include <semaphore.h>
#include <setjmp.h>
#include <ucontext.h>

#include <functional>
#include <vector>

#include "signals.h"

namespace {

using test::Thread;

// Of the interrupted thread.
struct Interrupted {
  std::atomic<int> times = 0;
  std::atomic<uintptr_t> pc = 0, sp = 0;
  std::atomic<bool> found = false, mask_is_its = false;
  uintptr_t low = 0, high = 0;  // its stack
};
Interrupted seen;
uintptr_t complement;  // of the word that is looked for

void Look(int, siginfo_t*, void* context) {
  const auto* uc = static_cast<ucontext_t*>(context);
  const auto& regs = uc->uc_mcontext.gregs;
  const auto sp = static_cast<uintptr_t>(regs[REG_RSP]);
  bool found = false;
  for (const greg_t reg : regs) found |= static_cast<uintptr_t>(reg) == ~complement;
  if (sp >= seen.low && sp < seen.high)
    for (uintptr_t at = sp & ~uintptr_t{7}; at < seen.high; at += 8)
      found |= *reinterpret_cast<volatile uintptr_t*>(at) == ~complement;
  seen.pc = static_cast<uintptr_t>(regs[REG_RIP]);
  seen.sp = sp;
  seen.found = found;
  seen.mask_is_its = sigismember(&uc->uc_sigmask, SIGUSR1) == 0 && sigismember(&uc->uc_sigmask, SIGUSR2) == 1;
  ++seen.times;
}

// Of the calling thread.
void KnowStack() {
  pthread_attr_t attributes;
  void* low;
  size_t size;
  EXPECT_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
  EXPECT_EQ(pthread_attr_getstack(&attributes, &low, &size), 0);
  EXPECT_EQ(pthread_attr_destroy(&attributes), 0);
  seen.low = reinterpret_cast<uintptr_t>(low);
  seen.high = seen.low + size;
}

class SignalContext : public test::Signal {
 protected:
  void SetUp() override {
    struct sigaction action = {};
    action.sa_sigaction = Look;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    EXPECT_EQ(sigaction(SIGUSR1, &action, &old_), 0);
    complement = ~(static_cast<uintptr_t>(getpid()) * 0x9e3779b97f4a7c15);
  }
  void TearDown() override { EXPECT_EQ(sigaction(SIGUSR1, &old_, nullptr), 0); }

  // Signals a thread that waits, several times.
  void WhileItWaits(const std::function<void()>& wait, const std::function<void()>& release) {
    seen.times = 0;
    std::atomic<bool> begun = false;
    Thread waiter([&] {
      KnowStack();
      const sigset_t set = test::Set({SIGUSR2});
      EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
      begun = true;
      uintptr_t word = ~complement;
      __asm__ volatile("" : "+r"(word));
      wait();
      __asm__ volatile("" : : "r"(word));
      return nullptr;
    });
    EXPECT_TRUE(test::Eventually([&] { return begun.load(); }));
    test::LetThemWait();
    for (int i = 1; i <= 3; ++i) {
      EXPECT_EQ(pthread_kill(waiter.id(), SIGUSR1), 0);
      EXPECT_TRUE(test::Eventually([&] { return seen.times == i; }));
      EXPECT_GE(seen.sp, seen.low);
      EXPECT_LT(seen.sp, seen.high);
      EXPECT_TRUE(seen.found);
      EXPECT_TRUE(seen.mask_is_its);
      Dl_info code;
      EXPECT_NE(dladdr(reinterpret_cast<void*>(seen.pc.load()), &code), 0) << seen.pc;
    }
    release();
    waiter.Join();
  }

 private:
  struct sigaction old_;
};

TEST_F(SignalContext, OfWhoWaitsForASemaphore) {
  sem_t semaphore;
  ASSERT_EQ(sem_init(&semaphore, 0, 0), 0);
  WhileItWaits([&] { EXPECT_EQ(sem_wait(&semaphore), 0); }, [&] { EXPECT_EQ(sem_post(&semaphore), 0); });
}

TEST_F(SignalContext, OfWhoWaitsForAMutex) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  ASSERT_EQ(pthread_mutex_lock(&mutex), 0);
  WhileItWaits(
      [&] {
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
      },
      [&] { EXPECT_EQ(pthread_mutex_unlock(&mutex), 0); });
}

TEST_F(SignalContext, OfWhoWaitsForAPipe) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  WhileItWaits(
      [&] {
        char c;
        EXPECT_EQ(read(fds[0], &c, 1), 1);
      },
      [&] { EXPECT_EQ(write(fds[1], "x", 1), 1); });
  close(fds[0]);
  close(fds[1]);
}

TEST_F(SignalContext, OfWhoComputesAndYields) {
  std::atomic<bool> over = false;
  WhileItWaits(
      [&] {
        while (!over) sched_yield();
      },
      [&] { over = true; });
  over = false;
  WhileItWaits(
      [&] {
        while (!over) __asm__ volatile("");
      },
      [&] { over = true; });
}

// A signal that comes while a handler on an alternate stack blocks it interrupts what that interrupted.
TEST_F(SignalContext, AfterAHandlerOnAnAlternateStack) {
  struct sigaction action = {}, old;
  action.sa_handler = [](int) { EXPECT_EQ(pthread_kill(pthread_self(), SIGUSR1), 0); };
  action.sa_flags = SA_ONSTACK;
  action.sa_mask = test::Set({SIGUSR1});
  ASSERT_EQ(sigaction(SIGHUP, &action, &old), 0);
  seen.times = 0;
  Thread([&] {
    std::vector<char> memory(64 << 10);
    const stack_t stack = {.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
    const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
    const sigset_t set = test::Set({SIGUSR2});
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    KnowStack();
    for (int i = 1; i <= 3; ++i) {
      EXPECT_EQ(raise(SIGHUP), 0);
      EXPECT_EQ(seen.times, i);
      EXPECT_GE(seen.sp, seen.low);
      EXPECT_LT(seen.sp, seen.high);
      EXPECT_TRUE(seen.mask_is_its);
    }
    EXPECT_EQ(sigaltstack(&none, nullptr), 0);
    return nullptr;
  }).Join();
  EXPECT_EQ(sigaction(SIGHUP, &old, nullptr), 0);
}

thread_local sigjmp_buf back;
thread_local volatile int arrived;

void Elsewhere() {
  arrived = arrived + 1;
  siglongjmp(back, 1);
}

// With a stack as after a call, below what is in use.
void GoElsewhere(int, siginfo_t*, void* context) {
  auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  regs[REG_RSP] = ((regs[REG_RSP] - 4096) & ~greg_t{15}) - 8;
  regs[REG_RIP] = reinterpret_cast<greg_t>(&Elsewhere);
}

TEST_F(SignalContext, HandlersHaveAThreadGoOnElsewhere) {
  struct sigaction action = {}, old;
  action.sa_sigaction = GoElsewhere;
  action.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGUSR2, &action, &old), 0);
  sem_t never;
  ASSERT_EQ(sem_init(&never, 0, 0), 0);
  std::atomic<int> waits = 0;
  Thread waiter([&] {
    sigsetjmp(back, 0);
    EXPECT_FALSE(test::IsBlocked(SIGUSR2));
    if (arrived == 20) return nullptr;
    ++waits;
    sem_wait(&never);
    ADD_FAILURE() << "returned";
    return nullptr;
  });
  for (int round = 1; round <= 20; ++round) {
    EXPECT_TRUE(test::Eventually([&] { return waits == round; }));
    test::LetThemWait();
    EXPECT_EQ(pthread_kill(waiter.id(), SIGUSR2), 0);
  }
  waiter.Join();
  EXPECT_EQ(sigaction(SIGUSR2, &old, nullptr), 0);
}

}  // namespace
