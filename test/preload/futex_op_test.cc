// SPDX-License-Identifier: Apache-2.0
// Tests FUTEX_WAKE_OP, errors, and addresses where nothing is.
#include <sys/mman.h>

#include "futex_util.h"

namespace {

using test::Count;
using test::Futex;
using test::kPrivate;
using test::Thread;
using test::Wait;
using test::WaitBits;
using test::Waiters;
using test::Waiting;
using test::Wake;

constexpr uint32_t kWakeOp = FUTEX_WAKE_OP | kPrivate;

struct Change {
  int op;
  uint32_t operand;
  uint32_t before, after;
};

class WakeOpChanges : public testing::TestWithParam<Change> {};
INSTANTIATE_TEST_SUITE_P(Futex, WakeOpChanges,
                         testing::Values(Change{FUTEX_OP_SET, 7, 1, 7}, Change{FUTEX_OP_SET, 0xfff, 1, ~0u},
                                         Change{FUTEX_OP_ADD, 3, 5, 8}, Change{FUTEX_OP_ADD, 0xfff, 5, 4},
                                         Change{FUTEX_OP_OR, 6, 9, 15}, Change{FUTEX_OP_ANDN, 6, 15, 9},
                                         Change{FUTEX_OP_XOR, 6, 3, 5},
                                         Change{FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 31, 0, 1u << 31},
                                         Change{FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, 1, 17}));

TEST_P(WakeOpChanges, TheWord) {
  const auto& [op, operand, before, after] = GetParam();
  const uint32_t word = 0;
  uint32_t other = before;
  EXPECT_EQ(Futex(&word, kWakeOp, 1, Count(1), &other, FUTEX_OP(op, operand, FUTEX_OP_CMP_EQ, 0)), 0);
  EXPECT_EQ(other, after);
}

struct Comparison {
  int op;
  int with;
  uint32_t value;
  bool holds;
};

class WakeOpCompares : public testing::TestWithParam<Comparison> {};
INSTANTIATE_TEST_SUITE_P(
    Futex, WakeOpCompares,
    testing::Values(Comparison{FUTEX_OP_CMP_EQ, 4, 4, true}, Comparison{FUTEX_OP_CMP_EQ, 4, 5, false},
                    Comparison{FUTEX_OP_CMP_NE, 4, 5, true}, Comparison{FUTEX_OP_CMP_NE, 4, 4, false},
                    Comparison{FUTEX_OP_CMP_LT, 4, 3, true}, Comparison{FUTEX_OP_CMP_LT, 4, 4, false},
                    Comparison{FUTEX_OP_CMP_LE, 4, 4, true}, Comparison{FUTEX_OP_CMP_LE, 4, 5, false},
                    Comparison{FUTEX_OP_CMP_GT, 4, 5, true}, Comparison{FUTEX_OP_CMP_GT, 4, 4, false},
                    Comparison{FUTEX_OP_CMP_GE, 4, 4, true}, Comparison{FUTEX_OP_CMP_GE, 4, 3, false},
                    Comparison{FUTEX_OP_CMP_LT, 0, ~0u, true}, Comparison{FUTEX_OP_CMP_EQ, -1, ~0u, true}));

TEST_P(WakeOpCompares, TheOldValue) {
  const auto& [op, with, value, holds] = GetParam();
  const uint32_t word = 0;
  uint32_t other = 0;
  Waiters waiters(&word);
  waiters.AddPlain(3);
  Waiters others(&other);
  others.AddPlain(2);
  __atomic_store_n(&other, value, __ATOMIC_SEQ_CST);
  const int code = FUTEX_OP(FUTEX_OP_ADD, 1, op, (with & 0xfff));
  EXPECT_EQ(Futex(&word, kWakeOp, 2, Count(1), &other, static_cast<uint32_t>(code)), holds ? 3 : 2);
  EXPECT_EQ(other, value + 1);
  EXPECT_EQ(Waiting(&word), 1);
  EXPECT_EQ(Waiting(&other), holds ? 1 : 2);
  EXPECT_EQ(Wake(&word, INT_MAX), 1);
  EXPECT_EQ(Wake(&other, INT_MAX), holds ? 1 : 2);
}

TEST(Futex, WakeOpOnOneWordOnly) {
  uint32_t word = 0;
  Waiters waiters(&word);
  waiters.AddPlain(4);
  EXPECT_EQ(Futex(&word, kWakeOp, 1, Count(2), &word, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)), 3);
  EXPECT_EQ(word, 1u);
  EXPECT_EQ(Wake(&word, INT_MAX), 1);
}

TEST(Futex, BadArguments) {
  test::HereAndInAThread([] {
    alignas(8) uint32_t words[2] = {};
    const char* odd = reinterpret_cast<const char*>(words) + 2;
    const timespec long_ns = {0, 1'000'000'000};
    const timespec negative = {-1, 0};
    EXPECT_EQ(Wait(words, 0, &long_ns), -EINVAL);
    EXPECT_EQ(Wait(words, 1, &long_ns), -EINVAL);
    EXPECT_EQ(Wait(words, 0, &negative), -EINVAL);
    EXPECT_EQ(Wait(odd, 0), -EINVAL);
    EXPECT_EQ(Wake(odd), -EINVAL);
    EXPECT_EQ(WaitBits(words, 0, 0), -EINVAL);
    EXPECT_EQ(test::WakeBits(words, 1, 0), -EINVAL);
    EXPECT_EQ(test::Requeue(words, -1, 1, &words[1]), -EINVAL);
    EXPECT_EQ(test::Requeue(words, 1, -1, &words[1]), -EINVAL);
    EXPECT_EQ(test::Requeue(words, 1, 1, odd), -EINVAL);
    EXPECT_EQ(test::Requeue(odd, 1, 1, words), -EINVAL);
    EXPECT_EQ(Futex(words, kWakeOp, 1, Count(1), odd, FUTEX_OP(FUTEX_OP_ADD, 1, 0, 0)), -EINVAL);
    EXPECT_EQ(Futex(words, kWakeOp, 1, Count(1), &words[1], FUTEX_OP(5, 1, 0, 0)), -ENOSYS);
    EXPECT_EQ(words[1], 0u);
    EXPECT_EQ(Futex(words, kWakeOp, 1, Count(1), &words[1], FUTEX_OP(FUTEX_OP_ADD, 1, 6, 0)), -ENOSYS);
    EXPECT_EQ(Futex(words, FUTEX_WAIT | kPrivate | FUTEX_CLOCK_REALTIME, 1), -ENOSYS);
    EXPECT_EQ(Futex(words, FUTEX_WAKE | kPrivate | FUTEX_CLOCK_REALTIME, 1), -ENOSYS);
    EXPECT_EQ(Futex(words, 99 | kPrivate, 1), -ENOSYS);
    EXPECT_EQ(Futex(words, 99, 1), -ENOSYS);
    EXPECT_EQ(Futex(words, FUTEX_FD, 1), -ENOSYS);
  });
}

// A page where nothing can be read, for as long as the object lives.
class Hole {
 public:
  explicit Hole(int protection = PROT_NONE)
      : page_(mmap(nullptr, kSize, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~Hole() { munmap(page_, kSize); }
  uint32_t* word() const { return static_cast<uint32_t*>(page_); }
  void Protect(int protection) const { EXPECT_EQ(mprotect(page_, kSize, protection), 0); }

 private:
  static constexpr size_t kSize = 4096;
  void* page_;
};

void ExpectFaults(uint32_t* bad) {
  uint32_t good = 0;
  EXPECT_EQ(Wait(bad, 0), -EFAULT);
  EXPECT_EQ(WaitBits(bad, 0, 1), -EFAULT);
  EXPECT_EQ(Wake(bad, 1), 0) << "nobody looks";
  EXPECT_EQ(Futex(bad, FUTEX_CMP_REQUEUE | kPrivate, 1, Count(1), &good, 0), -EFAULT);
  EXPECT_EQ(test::Requeue(bad, 1, 1, &good), 0);
  EXPECT_EQ(Futex(&good, kWakeOp, 1, Count(1), bad, FUTEX_OP(FUTEX_OP_ADD, 1, 0, 0)), -EFAULT);
  if (bad != nullptr) {
    EXPECT_EQ(Futex(&good, FUTEX_WAIT | kPrivate, 0, bad), -EFAULT) << "the timeout";
  }
}

TEST(FutexFault, WhereNothingIs) {
  test::HereAndInAThread([] {
    ExpectFaults(nullptr);
    ExpectFaults(reinterpret_cast<uint32_t*>(8192));
    const Hole hole;
    ExpectFaults(hole.word());
    auto* kernels = reinterpret_cast<uint32_t*>(-4096L);
    EXPECT_EQ(Wait(kernels, 0), -EFAULT);
    EXPECT_EQ(Wake(kernels), -EFAULT);
  });
}

TEST(FutexFault, WhereSomethingWas) {
  test::HereAndInAThread([] {
    const Hole page(PROT_READ | PROT_WRITE);
    const timespec none = {0, 0};
    EXPECT_EQ(Wait(page.word(), 0, &none), -ETIMEDOUT);
    page.Protect(PROT_NONE);
    ExpectFaults(page.word());
    page.Protect(PROT_READ);
    EXPECT_EQ(Wait(page.word(), 0, &none), -ETIMEDOUT);
    uint32_t good = 0;
    EXPECT_EQ(Futex(&good, kWakeOp, 1, Count(1), page.word(), FUTEX_OP(FUTEX_OP_ADD, 1, 0, 0)), -EFAULT);
  });
}

TEST(FutexFault, BeyondTheEndOfAFile) {
  char name[] = "/tmp/libmn-test-XXXXXX";
  const int file = mkstemp(name);
  ASSERT_GE(file, 0);
  unlink(name);
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  ASSERT_NE(page, MAP_FAILED);
  test::HereAndInAThread([&] { ExpectFaults(static_cast<uint32_t*>(page)); });
  munmap(page, 4096);
}

TEST(FutexFault, WithAllSignalsBlocked) {
  test::HereAndInAThread([] {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const Hole hole;
    ExpectFaults(hole.word());
    ExpectFaults(nullptr);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, &old, &now);
    EXPECT_EQ(sigismember(&now, SIGSEGV), 1);
  });
}

std::atomic<int> faults;

TEST(FutexFault, AHandlerOfTheProgramsDoesNotSeeThem) {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    ++faults;
    _exit(98);
  };
  struct sigaction old;
  ASSERT_EQ(sigaction(SIGSEGV, &action, &old), 0);
  EXPECT_EQ(old.sa_handler, SIG_DFL);
  test::HereAndInAThread([] { ExpectFaults(nullptr); });
  EXPECT_EQ(faults, 0);
  ASSERT_EQ(sigaction(SIGSEGV, &old, &action), 0);
  test::HereAndInAThread([] { ExpectFaults(nullptr); });
}

TEST(FutexFault, AfterAForkToo) {
  EXPECT_TRUE(test::Exited(test::RunChild([] {
                             CHILD_CHECK(Wait(nullptr, 0) == -EFAULT);
                             return 3;
                           }),
                           3));
}

// What else causes the signals works as ever.
class Crash : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(SegvAndBus, Crash, testing::Values(SIGSEGV, SIGBUS));

TEST_P(Crash, KillsByDefaultHoweverSent) {
  const int signal = GetParam();
  struct sigaction present;
  ASSERT_EQ(sigaction(signal, nullptr, &present), 0);
  EXPECT_EQ(present.sa_handler, SIG_DFL);
  EXPECT_TRUE(test::Killed(test::RunChild([=] { return raise(signal); }), signal));
  EXPECT_TRUE(test::Killed(test::RunChild([=] {
                             kill(getpid(), signal);
                             for (;;) pause();
                             return 0;
                           }),
                           signal));
  EXPECT_TRUE(test::Killed(test::RunChild([=] {
                             Thread sleeper([] {
                               for (;;) sleep(100);
                               return nullptr;
                             });
                             pthread_kill(sleeper.id(), signal);
                             for (;;) pause();
                             return 0;
                           }),
                           signal));
  EXPECT_TRUE(test::Killed(test::RunChild([=] {
                             sigset_t set;
                             sigemptyset(&set);
                             sigaddset(&set, signal);
                             pthread_sigmask(SIG_BLOCK, &set, nullptr);
                             pthread_kill(pthread_self(), signal);
                             usleep(1000);
                             pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
                             return 0;
                           }),
                           signal));
}

TEST_P(Crash, HandlersComeAndGo) {
  static std::atomic<int> runs;
  runs = 0;
  const int signal = GetParam();
  struct sigaction action = {};
  action.sa_handler = [](int) { ++runs; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ASSERT_EQ(sigaction(signal, &action, nullptr), 0);
  EXPECT_EQ(raise(signal), 0);
  EXPECT_EQ(runs, 1);
  struct sigaction present;
  ASSERT_EQ(sigaction(signal, nullptr, &present), 0);
  EXPECT_EQ(present.sa_handler, SIG_DFL);
  action.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(signal, &action, nullptr), 0);
  EXPECT_EQ(raise(signal), 0);
  ASSERT_EQ(sigaction(signal, nullptr, &present), 0);
  EXPECT_EQ(present.sa_handler, SIG_IGN);
  action.sa_handler = SIG_DFL;
  ASSERT_EQ(sigaction(signal, &action, nullptr), 0);
  EXPECT_TRUE(test::Killed(test::RunChild([=] { return raise(signal); }), signal));
}

TEST(FutexFault, AnInstructionsFaultStillKills) {
  EXPECT_TRUE(test::Killed(test::RunChild([] { return *static_cast<volatile int*>(nullptr); }), SIGSEGV));
  EXPECT_TRUE(test::Killed(test::RunChild([] {
                             Thread([] {
                               *static_cast<volatile int*>(nullptr) = 1;
                               return nullptr;
                             });
                             return 0;
                           }),
                           SIGSEGV));
}

}  // namespace
