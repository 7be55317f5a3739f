// SPDX-License-Identifier: Apache-2.0
// Tests that contexts start where and how they should, run in the order of the switches, and move the thread pointer.
#include "runtime/arch/context.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"

#include <signal.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "switch_kinds.h"

namespace {

using test::TestStack;

class Context : public test::SwitchTest {};
INSTANTIATE_SWITCH_TEST(Context);

// A context and the test's own, which it switches back to.
struct Pair {
  mn::Context home;
  mn::Context away;
  void* tp = mn::thread_pointer();
  std::vector<int> order;
  void* seen = nullptr;
  int id = 0;

  void Go() { mn::context_switch(&home, &away, tp); }
  void Back() { mn::context_switch(&away, &home, tp); }
};

TEST_P(Context, KindIsTheOneAskedFor) {
  EXPECT_EQ(mn::context_kind(), GetParam());
}

TEST_P(Context, TwoContextsAlternate) {
  TestStack stack;
  Pair pair;
  mn::context_make(
      &pair.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* p = static_cast<Pair*>(arg);
        for (int i = 0; test::Always(); i += 2) {
          p->order.push_back(i);
          p->Back();
        }
      },
      &pair);
  std::vector<int> expected;
  for (int i = 0; i < 2000; i += 2) {
    pair.Go();
    pair.order.push_back(i + 1);
    expected.push_back(i);
    expected.push_back(i + 1);
  }
  EXPECT_EQ(pair.order, expected);
}

struct Ring {
  static constexpr int kContexts = 50;
  static constexpr int kRounds = 20;

  mn::Context home;
  std::array<mn::Context, kContexts> contexts;
  std::array<TestStack, kContexts> stacks;
  void* tp = mn::thread_pointer();
  std::vector<int> order;
  int starting = 0;

  // Each notes its number and switches to the next; the last of the last round goes home.
  static void Run(void* arg) {
    auto* ring = static_cast<Ring*>(arg);
    int self = ring->starting++;
    for (int round = 0; round < kRounds; ++round) {
      ring->order.push_back(self);
      bool last = round == kRounds - 1 && self == kContexts - 1;
      mn::Context* next = last ? &ring->home : &ring->contexts[static_cast<size_t>((self + 1) % kContexts)];
      mn::context_switch(&ring->contexts[static_cast<size_t>(self)], next, ring->tp);
    }
    // Not reached by the last; the others end their last round by starting the next one's.
    test::NeverResumed();
  }
};

TEST_P(Context, ManyRunInTheOrderOfTheSwitches) {
  auto ring = std::make_unique<Ring>();
  for (size_t i = 0; i < Ring::kContexts; ++i)
    mn::context_make(&ring->contexts[i], ring->stacks[i].base(), TestStack::kSize, Ring::Run, ring.get());
  mn::context_switch(&ring->home, &ring->contexts[0], ring->tp);
  ASSERT_EQ(ring->order.size(), static_cast<size_t>(Ring::kContexts * Ring::kRounds));
  for (size_t i = 0; i < ring->order.size(); ++i) ASSERT_EQ(ring->order[i], static_cast<int>(i) % Ring::kContexts);
}

// Defined below in assembly: hands the stack pointer at its entry to NoteEntry.
extern "C" void mn_test_entry(void* arg);
extern "C" void mn_test_note_entry(void* arg, void* sp);
void mn_test_note_entry(void* arg, void* sp) {
  auto* pair = static_cast<Pair*>(arg);
  pair->seen = sp;
  pair->Back();
  test::NeverResumed();
}
__asm__(R"(
        .text
        .globl  mn_test_entry
        .type   mn_test_entry, @function
mn_test_entry:
        .cfi_startproc
        movq    %rsp, %rsi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    mn_test_note_entry@PLT
        ud2
        .cfi_endproc
        .size   mn_test_entry, .-mn_test_entry
)");

TEST_P(Context, EntryFindsAnAlignedStack) {
  for (size_t odd = 0; odd < 64; ++odd) {
    TestStack stack;
    Pair pair;
    mn::context_make(&pair.away, static_cast<char*>(stack.base()) + odd, TestStack::kSize - 64, mn_test_entry, &pair);
    pair.Go();
    // At a function's entry the return address has just been pushed on a stack aligned to 16.
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pair.seen) % 16, 8u) << odd;
    EXPECT_TRUE(stack.Holds(pair.seen)) << odd;
  }
}

TEST_P(Context, FramesStayWithinTheStack) {
  TestStack whole;
  char* middle = static_cast<char*>(whole.base()) + 64 * 1024;
  constexpr size_t kSmall = 16 * 1024;
  memset(whole.base(), 0x5a, TestStack::kSize);
  Pair pair;
  mn::context_make(&pair.away, middle, kSmall, mn_test_entry, &pair);
  pair.Go();
  const char* base = static_cast<const char*>(whole.base());
  for (const char* p = base; p != middle; ++p) ASSERT_EQ(*p, 0x5a) << middle - p << " below";
  for (const char* p = middle + kSmall; p != base + TestStack::kSize; ++p)
    ASSERT_EQ(*p, 0x5a) << p - middle - kSmall << " above";
}

TEST_P(Context, ThreadPointerMoves) {
  TestStack stack;
  // A whole one: sanitizers keep thread-local variables.
  ASSERT_EQ(mn::real_load(), nullptr);
  ASSERT_EQ(mn::tcb_discover(), nullptr);
  std::vector<char> block(mn::tcb_layout.static_size + mn::tcb_layout.size + 2 * mn::tcb_layout.static_align + 4096);
  size_t align = mn::tcb_layout.static_align < 64 ? 64 : mn::tcb_layout.static_align;
  auto place = reinterpret_cast<uintptr_t>(block.data()) + mn::tcb_layout.static_size + align;
  void* other = reinterpret_cast<void*>(place / align * align);
  ASSERT_TRUE(mn::tcb_create(other, 1));
  Pair pair;
  void* own = mn::thread_pointer();
  mn::context_make(
      &pair.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* p = static_cast<Pair*>(arg);
        p->seen = mn::thread_pointer();
        p->Back();
        test::NeverResumed();
      },
      &pair);
  mn::context_switch(&pair.home, &pair.away, other);
  void* after = mn::thread_pointer();
  EXPECT_EQ(pair.seen, other);
  EXPECT_EQ(after, own);
  mn::tcb_discard(other);
}

TEST_P(Context, SignalMaskIsLeftAlone) {
  sigset_t block;
  sigset_t before;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  TestStack stack;
  Pair pair;
  mn::context_make(
      &pair.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* p = static_cast<Pair*>(arg);
        while (test::Always()) {
          sigset_t now;
          sigprocmask(SIG_BLOCK, nullptr, &now);
          p->order.push_back(sigismember(&now, SIGUSR1));
          p->Back();
        }
      },
      &pair);
  sigprocmask(SIG_BLOCK, &block, &before);
  pair.Go();
  sigprocmask(SIG_SETMASK, &before, nullptr);
  pair.Go();
  sigset_t now;
  sigprocmask(SIG_BLOCK, nullptr, &now);
  EXPECT_EQ(pair.order, (std::vector<int>{1, 0}));
  EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
}

}  // namespace
