// SPDX-License-Identifier: Apache-2.0
// Tests that a switch keeps what the ABI makes a callee preserve: six registers, MXCSR and the x87 control word.
#include <array>
#include <cfenv>
#include <cstdint>

#include "runtime/os/tcb.h"
#include "switch_kinds.h"

namespace {

using test::TestStack;
using Six = std::array<uint64_t, 6>;

class Registers : public test::SwitchTest {};
INSTANTIATE_SWITCH_TEST(Registers);

extern "C" {
// Loads rbx, rbp and r12 to r15 with seed + 1 to seed + 6, switches, and stores what they are then.
void mn_test_registers(mn::Context* from, const mn::Context* to, void* tp, uint64_t seed, uint64_t* out);
void mn_test_switch(mn::Context* from, const mn::Context* to, void* tp) {
  mn::context_switch(from, to, tp);
}
}
__asm__(R"(
        .text
        .type   mn_test_registers, @function
mn_test_registers:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %r8
        leaq    1(%rcx), %rbx
        leaq    2(%rcx), %rbp
        leaq    3(%rcx), %r12
        leaq    4(%rcx), %r13
        leaq    5(%rcx), %r14
        leaq    6(%rcx), %r15
        call    mn_test_switch@PLT
        popq    %r8
        movq    %rbx, 0(%r8)
        movq    %rbp, 8(%r8)
        movq    %r12, 16(%r8)
        movq    %r13, 24(%r8)
        movq    %r14, 32(%r8)
        movq    %r15, 40(%r8)
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .size   mn_test_registers, .-mn_test_registers
)");

struct Pair {
  mn::Context home;
  mn::Context away;
  void* tp = mn::thread_pointer();
  Six home_regs{};
  Six away_regs{};
};

Six Expected(uint64_t seed) {
  return {seed + 1, seed + 2, seed + 3, seed + 4, seed + 5, seed + 6};
}

TEST_P(Registers, CalleeSavedSurviveBothWays) {
  TestStack stack;
  Pair pair;
  mn::context_make(
      &pair.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* p = static_cast<Pair*>(arg);
        while (test::Always()) mn_test_registers(&p->away, &p->home, p->tp, 0x1111222233330000, p->away_regs.data());
      },
      &pair);
  for (int i = 0; i < 3; ++i) {
    pair.home_regs = {};
    mn_test_registers(&pair.home, &pair.away, pair.tp, 0x7777888899990000, pair.home_regs.data());
    EXPECT_EQ(pair.home_regs, Expected(0x7777888899990000));
  }
  EXPECT_EQ(pair.away_regs, Expected(0x1111222233330000));
}

struct FpControl {
  uint32_t mxcsr = 0;
  uint16_t x87 = 0;

  static FpControl Get() {
    FpControl c;
    __asm__ volatile("stmxcsr %0" : "=m"(c.mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(c.x87));
    return c;
  }
  void Set() const {
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    __asm__ volatile("fldcw %0" ::"m"(x87));
  }
  bool operator==(const FpControl&) const = default;
};

constexpr FpControl kDefault{0x1f80, 0x037f};
constexpr FpControl kUpFlush{0x9f80 | 0x4000, 0x0b7f};     // round up, flush to zero
constexpr FpControl kDownSingle{0x1f80 | 0x2000, 0x047f};  // round down, single precision

struct FpPair {
  mn::Context home;
  mn::Context away;
  void* tp = mn::thread_pointer();
  FpControl at_entry;
  FpControl on_return;
};

void FpRun(void* arg) {
  auto* p = static_cast<FpPair*>(arg);
  p->at_entry = FpControl::Get();
  while (test::Always()) {
    kDownSingle.Set();
    mn::context_switch(&p->away, &p->home, p->tp);
    p->on_return = FpControl::Get();
  }
}

TEST_P(Registers, FloatingPointControlBelongsToTheContext) {
  TestStack stack;
  FpPair pair;
  kUpFlush.Set();
  mn::context_make(&pair.away, stack.base(), TestStack::kSize, FpRun, &pair);
  kDefault.Set();
  mn::context_switch(&pair.home, &pair.away, pair.tp);
  FpControl first = FpControl::Get();
  kUpFlush.Set();
  mn::context_switch(&pair.home, &pair.away, pair.tp);
  FpControl second = FpControl::Get();
  kDefault.Set();
  EXPECT_EQ(first, kDefault);
  EXPECT_EQ(second, kUpFlush);
  EXPECT_EQ(pair.at_entry, kUpFlush) << "a new context has its maker's, not its first switcher's";
  EXPECT_EQ(pair.on_return, kDownSingle);
}

// Each of the two control registers alone: the assembly loads only what differs.
TEST_P(Registers, EitherControlRegisterAloneIsKept) {
  for (FpControl mine : {FpControl{kUpFlush.mxcsr, kDefault.x87}, FpControl{kDefault.mxcsr, kUpFlush.x87}}) {
    TestStack stack;
    FpPair pair;
    kDefault.Set();
    mn::context_make(
        &pair.away, stack.base(), TestStack::kSize,
        [](void* arg) {
          auto* p = static_cast<FpPair*>(arg);
          while (test::Always()) mn::context_switch(&p->away, &p->home, p->tp);
        },
        &pair);
    mine.Set();
    mn::context_switch(&pair.home, &pair.away, pair.tp);
    FpControl after = FpControl::Get();
    kDefault.Set();
    EXPECT_EQ(after, mine);
  }
}

TEST_P(Registers, RoundingModeStaysWithItsContext) {
  TestStack stack;
  FpPair pair;
  mn::context_make(
      &pair.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* p = static_cast<FpPair*>(arg);
        fesetround(FE_UPWARD);
        while (test::Always()) mn::context_switch(&p->away, &p->home, p->tp);
      },
      &pair);
  for (int i = 0; i < 2; ++i) {
    mn::context_switch(&pair.home, &pair.away, pair.tp);
    EXPECT_EQ(fegetround(), FE_TONEAREST);
  }
}

}  // namespace
