// SPDX-License-Identifier: Apache-2.0
// Tests that a thread which was stopped in favour of others goes on as if nothing had been: its registers, flags, red
// zone, control words, errno and thread-local variables.
#include <fenv.h>
#include <math.h>
#include <string.h>

#include <algorithm>
#include <array>

#include "rivals.h"

namespace {

constexpr uint64_t kSpins = 100'000;  // of a loop that touches nothing but its counter

struct alignas(64) Vectors {
  std::array<std::array<uint64_t, 8>, 32> registers;
  std::array<uint64_t, 8> masks;
};

struct Integers {
  std::array<uint64_t, 14> registers;  // rax rbx rcx rdx rdi rbp r8 ... r15
  uint64_t flags;
  std::array<uint64_t, 15> red_zone;
};
static_assert(offsetof(Integers, flags) == 112 && offsetof(Integers, red_zone) == 120);

extern "C" {
// Each loads *in, spins, and stores what there is then in *out.
void HoldIntegers(const Integers* in, Integers* out, uint64_t spins);
void HoldSse(const Vectors* in, Vectors* out, uint64_t spins);
void HoldAvx(const Vectors* in, Vectors* out, uint64_t spins);
void HoldAvx512(const Vectors* in, Vectors* out, uint64_t spins);
// The low six registers of the x87's stack, of ten bytes each.
void HoldX87(const uint8_t (*in)[16], uint8_t (*out)[16], uint64_t spins);
}
__asm__(R"(
        .text
        .macro  HOLD name
        .type   \name, @function
\name:
        .endm

// The counter is at the bottom of the red zone, and above it is what *in says. They are written before the flags are
// popped, which makes the red zone theirs for good: moved down only afterwards, it would lose its bottom to a signal.
HOLD HoldIntegers
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %rsi
        pushq   112(%rdi)
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
        movq    120+8*\n(%rdi), %rax
        movq    %rax, -112+8*\n(%rsp)
        .endr
        movq    %rdx, -120(%rsp)
        movq    0(%rdi), %rax
        movq    8(%rdi), %rbx
        movq    16(%rdi), %rcx
        movq    24(%rdi), %rdx
        movq    40(%rdi), %rbp
        movq    48(%rdi), %r8
        movq    56(%rdi), %r9
        movq    64(%rdi), %r10
        movq    72(%rdi), %r11
        movq    80(%rdi), %r12
        movq    88(%rdi), %r13
        movq    96(%rdi), %r14
        movq    104(%rdi), %r15
        movq    32(%rdi), %rdi
        popfq
1:      movq    -128(%rsp), %rsi
        leaq    -1(%rsi), %rsi
        movq    %rsi, -128(%rsp)
        xchgq   %rsi, %rcx
        jrcxz   2f
        xchgq   %rsi, %rcx
        jmp     1b
2:      xchgq   %rsi, %rcx
        movq    0(%rsp), %rsi
        movq    %rax, 0(%rsi)
        movq    %rbx, 8(%rsi)
        movq    %rcx, 16(%rsi)
        movq    %rdx, 24(%rsi)
        movq    %rdi, 32(%rsi)
        movq    %rbp, 40(%rsi)
        movq    %r8, 48(%rsi)
        movq    %r9, 56(%rsi)
        movq    %r10, 64(%rsi)
        movq    %r11, 72(%rsi)
        movq    %r12, 80(%rsi)
        movq    %r13, 88(%rsi)
        movq    %r14, 96(%rsi)
        movq    %r15, 104(%rsi)
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
        movq    -120+8*\n(%rsp), %rax
        movq    %rax, 120+8*\n(%rsi)
        .endr
        pushfq
        cld
        popq    112(%rsi)
        popq    %rsi
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .size   HoldIntegers, .-HoldIntegers

HOLD HoldSse
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  64*\n(%rdi), %xmm\n
        .endr
1:      decq    %rdx
        jnz     1b
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  %xmm\n, 64*\n(%rsi)
        .endr
        ret
        .size   HoldSse, .-HoldSse

HOLD HoldAvx
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups 64*\n(%rdi), %ymm\n
        .endr
1:      decq    %rdx
        jnz     1b
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups %ymm\n, 64*\n(%rsi)
        .endr
        vzeroupper
        ret
        .size   HoldAvx, .-HoldAvx

HOLD HoldAvx512
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovups 64*\n(%rdi), %zmm\n
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   2048+8*\n(%rdi), %k\n
        .endr
1:      decq    %rdx
        jnz     1b
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovups %zmm\n, 64*\n(%rsi)
        .endr
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        kmovq   %k\n, 2048+8*\n(%rsi)
        .endr
        vzeroupper
        ret
        .size   HoldAvx512, .-HoldAvx512

HOLD HoldX87
        .irp    n, 0, 1, 2, 3, 4, 5
        fldt    16*\n(%rdi)
        .endr
1:      decq    %rdx
        jnz     1b
        .irp    n, 5, 4, 3, 2, 1, 0
        fstpt   16*\n(%rsi)
        .endr
        ret
        .size   HoldX87, .-HoldX87
)");

// Another value at each call.
class Values {
 public:
  explicit Values(int seed) : state_(static_cast<uint64_t>(seed) + 1) {}
  uint64_t operator()() { return state_ = state_ * 6364136223846793005u + 1442695040888963407u; }

 private:
  uint64_t state_;
};

TEST(PreemptState, IntegerRegistersFlagsAndRedZone) {
  test::Contend([](int i) {
    constexpr uint64_t kFlags = 0xcd5;  // carry, parity, adjust, zero, sign, direction, overflow
    static thread_local Values value(i);
    Integers in = {}, out = {};
    std::generate(in.registers.begin(), in.registers.end(), value);
    std::generate(in.red_zone.begin(), in.red_zone.end() - 1, value);
    in.flags = (value() & kFlags) | 0x202;
    HoldIntegers(&in, &out, kSpins);
    EXPECT_EQ(out.registers, in.registers);
    EXPECT_EQ(out.red_zone, in.red_zone);
    EXPECT_EQ(out.flags & kFlags, in.flags & kFlags);
  });
}

template <typename Hold>
void KeepsVectors(Hold hold, size_t registers, size_t bytes, bool masks) {
  test::Contend([=](int i) {
    static thread_local Values value(i);
    Vectors in, out = {};
    for (auto& r : in.registers) std::generate(r.begin(), r.end(), value);
    std::generate(in.masks.begin(), in.masks.end(), value);
    hold(&in, &out, kSpins);
    for (size_t r = 0; r < registers; ++r)
      EXPECT_EQ(memcmp(in.registers[r].data(), out.registers[r].data(), bytes), 0) << r;
    if (masks) {
      EXPECT_EQ(in.masks, out.masks);
    }
  });
}

// What this CPU has.
TEST(PreemptState, VectorRegisters) {
  KeepsVectors(HoldSse, 16, 16, false);
  if (__builtin_cpu_supports("avx")) KeepsVectors(HoldAvx, 16, 32, false);
  if (__builtin_cpu_supports("avx512bw")) KeepsVectors(HoldAvx512, 32, 64, true);
}

TEST(PreemptState, X87Registers) {
  test::Contend([](int i) {
    static thread_local Values value(i);
    uint8_t in[6][16] = {}, out[6][16] = {};
    for (auto& r : in) {
      const long double number = static_cast<long double>(value()) / 3;
      memcpy(r, &number, 10);
    }
    HoldX87(in, out, kSpins);
    EXPECT_EQ(memcmp(in, out, sizeof in), 0);
  });
}

// Of the x87 and of SSE: fesetround() sets both.
TEST(PreemptState, RoundingModesAndExceptionFlags) {
  test::Contend([](int i) {
    static constexpr int kModes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    static constexpr int kExceptions[] = {0, FE_DIVBYZERO, FE_OVERFLOW, FE_INVALID | FE_INEXACT};
    static thread_local const int mode = kModes[i % 4], exceptions = kExceptions[i / 4 % 4];
    fesetround(mode);
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(exceptions);
    uint32_t mxcsr, mxcsr_after;
    uint16_t control, control_after;
    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(control));
    test::ComputeABit();
    __asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr_after), "=m"(control_after));
    EXPECT_EQ(mxcsr, mxcsr_after);
    EXPECT_EQ(control, control_after);
    EXPECT_EQ(fegetround(), mode);
    EXPECT_EQ(fetestexcept(FE_ALL_EXCEPT), exceptions);
  });
}

TEST(PreemptState, FloatingPointResults) {
  const auto compute = [](int i) {
    double sum = 0;
    for (int k = 1; k < 2000; ++k) sum += sin(i + k) / k + sqrt(static_cast<double>(k)) * 1e-3;
    return sum;
  };
  std::array<double, test::kRivals> expected;
  for (int i = 0; i < test::kRivals; ++i) expected[static_cast<size_t>(i)] = compute(i);
  test::Contend([&](int i) { EXPECT_EQ(compute(i), expected[static_cast<size_t>(i)]); });
}

TEST(PreemptState, Errno) {
  test::Contend([](int i) {
    errno = 1000 + i;
    test::ComputeABit();
    EXPECT_EQ(errno, 1000 + i);
  });
}

thread_local int mine = -1;
thread_local std::array<int, 1000> many;

TEST(PreemptState, ThreadLocalVariables) {
  test::Contend([](int i) {
    const pthread_t self = pthread_self();
    int* const at = &mine;
    mine = i;
    many.fill(i);
    test::ComputeABit();
    EXPECT_EQ(&mine, at);
    EXPECT_EQ(mine, i);
    EXPECT_EQ(std::count(many.begin(), many.end(), i), 1000);
    EXPECT_TRUE(pthread_equal(pthread_self(), self));
  });
}

// A function that calls nothing keeps its variables below the stack pointer.
__attribute__((noinline)) uint64_t Leaf(uint64_t seed) {
  volatile uint64_t words[12];
  for (int i = 0; i < 12; ++i) words[i] = seed + static_cast<uint64_t>(i);
  for (int round = 0; round < 10'000; ++round)
    for (int i = 0; i < 12; ++i) words[i] = words[i] + 1;
  uint64_t sum = 0;
  for (int i = 0; i < 12; ++i) sum += words[i];
  return sum;
}

TEST(PreemptState, LeafFunctions) {
  test::Contend([](int i) {
    const auto seed = static_cast<uint64_t>(i);
    EXPECT_EQ(Leaf(seed), 12 * seed + 66 + 12 * 10'000);
  });
}

__attribute__((noinline)) uint64_t Deep(uint64_t depth) {
  volatile uint64_t here[8] = {depth};
  const uint64_t below = depth == 0 ? 0 : Deep(depth - 1);
  for (int i = 1; i < 8; ++i) here[i] = here[i - 1] + 1;
  return below + here[7] - depth;
}

TEST(PreemptState, DeepRecursion) {
  test::Contend([](int) { EXPECT_EQ(Deep(20'000), 7u * 20'001); });
}

// With a stack pointer into memory whose lower part is in use, as in run-time systems whose stack is part of a heap:
// nothing but the red zone is theirs, and handlers run on an alternate stack, below it or above.
void NothingIsWrittenBelow(bool alternate_is_below) {
  constexpr size_t kPart = 64 << 10;
  std::vector<unsigned char> memory(3 * kPart, 0x5a);
  const stack_t stack = {
      .ss_sp = memory.data() + (alternate_is_below ? 0 : 2 * kPart), .ss_flags = 0, .ss_size = kPart};
  unsigned char* const edge = memory.data() + 2 * kPart;
  const test::Load load;
  test::Thread([&] {
    EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
    for (const int64_t end = test::NowNs() + 300 * test::kNsPerMs; test::NowNs() < end;) {
      uint64_t n = 1'000'000, saved;
      __asm__ volatile(
          "mov %%rsp, %[saved]\n\t"
          "mov %[edge], %%rsp\n"
          "1: dec %[n]\n\t"
          "jnz 1b\n\t"
          "mov %[saved], %%rsp"
          : [saved] "=&r"(saved), [n] "+r"(n)
          : [edge] "r"(edge - (alternate_is_below ? 0 : kPart))
          : "cc", "memory");
    }
    const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    EXPECT_EQ(sigaltstack(&none, nullptr), 0);
    return nullptr;
  }).Join();
  const unsigned char* from = memory.data() + (alternate_is_below ? kPart : 0);
  const unsigned char* to = from + kPart - 128;
  EXPECT_EQ(std::count(from, to, 0x5a), to - from);
}

TEST(PreemptState, StackInAHeapAboveTheAlternateStack) {
  NothingIsWrittenBelow(true);
}

TEST(PreemptState, StackInAHeapBelowTheAlternateStack) {
  NothingIsWrittenBelow(false);
}

}  // namespace
