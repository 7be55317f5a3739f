// SPDX-License-Identifier: Apache-2.0
// Tests that a call injected at a breakpoint leaves everything as it was: general registers, flags, the red zone, the
// x87 stack, MXCSR, and all vector and mask registers that this CPU has; in each way of saving them.
#include "runtime/arch/inject.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "inject_trap.h"
#include "runtime/base/check.h"

extern "C" {
// What inject.cc found out for inject.S.
struct MnSavePlan {
  uint64_t bytes, mask, reset;
};
extern MnSavePlan mn_save_plain;
extern uint32_t mn_save_kind;
}

namespace {

enum Kind : uint32_t { kFxsave = 0, kXsave = 1, kXsavec = 2 };

constexpr int kRegisters = 15, kRedZoneWords = 16, kVectors = 32, kX87 = 6;
constexpr uint64_t kFlags = 0x8d5;  // carry, parity, adjust, zero, sign, overflow
constexpr uint64_t kDirection = 0x400;

struct alignas(64) State {
  std::array<uint64_t, kRegisters> registers;  // rax rbx rcx rdx rsi rdi rbp r8 ... r15
  uint64_t flags;
  std::array<uint64_t, kRedZoneWords> red_zone;
  std::array<std::array<uint8_t, 64>, kVectors> vectors;
  std::array<uint64_t, 8> masks;
  std::array<std::array<uint8_t, 16>, kX87> x87;  // ten bytes each
  uint32_t mxcsr;
  uint16_t control;
  uint16_t status;
};
static_assert(offsetof(State, flags) == 120 && offsetof(State, red_zone) == 128 && offsetof(State, vectors) == 256);
static_assert(offsetof(State, masks) == 2304 && offsetof(State, x87) == 2368 && offsetof(State, mxcsr) == 2464);
static_assert(offsetof(State, control) == 2468 && offsetof(State, status) == 2470);

extern "C" {
State mn_test_in, mn_test_out;
// 0: the vectors are of 16 bytes, and there are 16; 1: of 32; 2: of 64, there are 32, and masks.
uint32_t mn_test_vectors = 0;
// Loads all of mn_test_in, traps, and stores what there is then in mn_test_out.
void mn_test_trap();
}
__asm__(R"(
        .text
        .type   mn_test_trap, @function
mn_test_trap:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        subq    $16, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        leaq    mn_test_in(%rip), %r8
        cmpl    $1, mn_test_vectors(%rip)
        je      1f
        ja      2f
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  256+64*\n(%r8), %xmm\n
        .endr
        jmp     3f
1:      .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups 256+64*\n(%r8), %ymm\n
        .endr
        jmp     3f
2:      .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovups 256+64*\n(%r8), %zmm\n
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   2304+8*\n(%r8), %k\n
        .endr
3:      fninit
        .irp    n, 0, 1, 2, 3, 4, 5
        fldt    2368+16*\n(%r8)
        .endr
        fldcw   2468(%r8)
        ldmxcsr 2464(%r8)
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    128+8*\n(%r8), %rax
        movq    %rax, -128+8*\n(%rsp)
        .endr
        // The flags by way of the stack, above the red zone's bottom: above rsp.
        movq    120(%r8), %rax
        movq    %rax, 8(%rsp)
        leaq    8(%rsp), %rsp
        popfq
        leaq    -16(%rsp), %rsp
        movq    0(%r8), %rax
        movq    8(%r8), %rbx
        movq    16(%r8), %rcx
        movq    24(%r8), %rdx
        movq    32(%r8), %rsi
        movq    40(%r8), %rdi
        movq    48(%r8), %rbp
        movq    64(%r8), %r9
        movq    72(%r8), %r10
        movq    80(%r8), %r11
        movq    88(%r8), %r12
        movq    96(%r8), %r13
        movq    104(%r8), %r14
        movq    112(%r8), %r15
        movq    56(%r8), %r8
        int3
        movq    %r8, 56+mn_test_out(%rip)
        leaq    mn_test_out(%rip), %r8
        movq    %rax, 0(%r8)
        movq    %rbx, 8(%r8)
        movq    %rcx, 16(%r8)
        movq    %rdx, 24(%r8)
        movq    %rsi, 32(%r8)
        movq    %rdi, 40(%r8)
        movq    %rbp, 48(%r8)
        movq    %r9, 64(%r8)
        movq    %r10, 72(%r8)
        movq    %r11, 80(%r8)
        movq    %r12, 88(%r8)
        movq    %r13, 96(%r8)
        movq    %r14, 104(%r8)
        movq    %r15, 112(%r8)
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq    -128+8*\n(%rsp), %rax
        movq    %rax, 128+8*\n(%r8)
        .endr
        pushfq
        popq    %rax
        movq    %rax, 120(%r8)
        cld
        stmxcsr 2464(%r8)
        fnstcw  2468(%r8)
        fnstsw  2470(%r8)
        .irp    n, 5, 4, 3, 2, 1, 0
        fstpt   2368+16*\n(%r8)
        .endr
        cmpl    $1, mn_test_vectors(%rip)
        je      4f
        ja      5f
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  %xmm\n, 256+64*\n(%r8)
        .endr
        jmp     6f
4:      .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups %ymm\n, 256+64*\n(%r8)
        .endr
        vzeroupper
        jmp     6f
5:      .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovups %zmm\n, 256+64*\n(%r8)
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   %k\n, 2304+8*\n(%r8)
        .endr
        vzeroupper
6:      ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $16, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .size   mn_test_trap, .-mn_test_trap
)");

uint32_t VectorsHere() {
  return __builtin_cpu_supports("avx512bw") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
}

std::vector<Kind> KindsHere() {
  mn::inject_init(nullptr);
  std::vector<Kind> kinds = {kFxsave};
  if (mn_save_kind >= kXsave) kinds.push_back(kXsave);
  if (mn_save_kind >= kXsavec) kinds.push_back(kXsavec);
  return kinds;
}

struct Seen {
  int calls = 0;
  uint32_t mxcsr = 0;
  uint16_t control = 0;
  uint16_t tags = 0;  // ffff: the x87 stack is empty
  uintptr_t stack = 0;
  uint64_t flags = 0;
};
Seen seen;

// Leaves nothing in the registers as it was.
MN_NOINLINE void Target(const mn::Injected&) {
  ++seen.calls;
  uint16_t environment[14];
  __asm__ volatile("fnstenv %0" : "=m"(environment));
  seen.control = environment[0];
  seen.tags = environment[4];
  __asm__ volatile("stmxcsr %0" : "=m"(seen.mxcsr));
  __asm__ volatile("pushfq; popq %0" : "=r"(seen.flags));
  seen.stack = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  uint32_t rounding = 0x7f80;
  __asm__ volatile("fninit; fldpi; fldz; fld1; ldmxcsr %0" ::"m"(rounding));
  if (mn_test_vectors == 2) {
    __asm__ volatile(R"(
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vpternlogd $0xff, %%zmm\n, %%zmm\n, %%zmm\n
        .endr
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7
        kxnorq %%k\n, %%k\n, %%k\n
        .endr)" ::
                         : "memory");
  } else {
    __asm__ volatile(R"(
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        pcmpeqd %%xmm\n, %%xmm\n
        .endr)" ::
                         : "memory");
    if (mn_test_vectors == 1) __asm__ volatile("vzeroall" ::: "memory");
  }
  __asm__ volatile(
      "xorl %%eax, %%eax; movl $-1, %%ecx; movl $-1, %%edx; movl $-1, %%esi; movl $-1, %%edi; movl $-1, "
      "%%r8d; movl $-1, %%r9d; movl $-1, %%r10d; movl $-1, %%r11d" ::
          : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
}

// What the call of the target pushes, and its frame up to its frame pointer.
constexpr size_t kTargetFrame = 512;  // with a sanitizer's

class Inject : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(mn::inject_init(Target));
    // The standard format takes more room than the compacted one.
    if (GetParam() == kXsave) mn_save_plain.bytes = 16384;
    mn_save_kind = GetParam();
    mn_test_vectors = GetParam() == kFxsave ? 0 : VectorsHere();
    seen = {};
  }
};

void Fill(State* state, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (auto& r : state->registers) r = random();
  for (auto& w : state->red_zone) w = random();
  for (auto& v : state->vectors)
    for (auto& byte : v) byte = static_cast<uint8_t>(random());
  for (auto& m : state->masks) m = random();
  for (int i = 0; i < kX87; ++i) {
    long double value = static_cast<long double>(random()) / 3;
    state->x87[static_cast<size_t>(i)] = {};
    memcpy(state->x87[static_cast<size_t>(i)].data(), &value, 10);
  }
  state->flags = (random() & kFlags) | 0x202;
  state->mxcsr = 0x1f80 | (static_cast<uint32_t>(random()) & 0xe03f);
  state->control = static_cast<uint16_t>(0x037f | (random() & 0x0c00));
  state->status = 0;
}

TEST_P(Inject, EverythingIsKept) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Fill(&mn_test_in, seed);
    if (seed % 2 == 0) mn_test_in.flags |= kDirection;
    memset(&mn_test_out, 0, sizeof mn_test_out);
    {
      test::InjectOnTrap trap;
      mn_test_trap();
    }
    EXPECT_EQ(mn_test_out.registers, mn_test_in.registers);
    EXPECT_EQ(mn_test_out.flags & (kFlags | kDirection), mn_test_in.flags & (kFlags | kDirection));
    EXPECT_EQ(mn_test_out.red_zone, mn_test_in.red_zone);
    EXPECT_EQ(mn_test_out.mxcsr, mn_test_in.mxcsr);
    EXPECT_EQ(mn_test_out.control, mn_test_in.control);
    EXPECT_EQ(mn_test_out.status >> 11 & 7, 8 - kX87) << "top of the x87 stack";
    EXPECT_EQ(mn_test_out.x87, mn_test_in.x87);
    const size_t width = size_t{16} << mn_test_vectors;
    for (size_t i = 0; i < (mn_test_vectors == 2 ? 32 : 16); ++i) {
      EXPECT_EQ(memcmp(mn_test_out.vectors[i].data(), mn_test_in.vectors[i].data(), width), 0) << i;
    }
    if (mn_test_vectors == 2) {
      EXPECT_EQ(mn_test_out.masks, mn_test_in.masks);
    }
  }
  EXPECT_EQ(seen.calls, 50);
}

TEST_P(Inject, TheTargetFindsAFreshState) {
  Fill(&mn_test_in, 7);
  mn_test_in.flags |= kDirection;
  test::InjectOnTrap trap;
  mn_test_trap();
  EXPECT_EQ(seen.mxcsr, 0x1f80u);
  EXPECT_EQ(seen.control, 0x037f);
  EXPECT_EQ(seen.tags, 0xffff);
  EXPECT_EQ(seen.flags & kDirection, 0u);
  EXPECT_EQ(seen.stack % 16, 0u);
}

TEST_P(Inject, TakesNoMoreStackThanItSays) {
  Fill(&mn_test_in, 8);
  test::InjectOnTrap trap;
  mn_test_trap();
  ASSERT_GT(trap.stack_pointer(), seen.stack);
  // The frame pointer is pushed below the return address.
  EXPECT_LE(trap.stack_pointer() - seen.stack, mn::inject_stack(false) + mn::kInjectGap + kTargetFrame);
  EXPECT_GT(trap.stack_pointer() - seen.stack, 128u + 512);
}

INSTANTIATE_TEST_SUITE_P(All, Inject, testing::ValuesIn(KindsHere()), [](const auto& kind) {
  return kind.param == kFxsave ? "Fxsave" : kind.param == kXsave ? "Xsave" : "Xsavec";
});

}  // namespace
