// SPDX-License-Identifier: Apache-2.0
// Tests that libunwind walks from within a context, and from a parked one, to the bottom of its stack and stops there.
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "inject_trap.h"
#include "runtime/os/tcb.h"
#include "switch_kinds.h"

namespace {

using test::TestStack;

class Libunwind : public test::SwitchTest {};
INSTANTIATE_SWITCH_TEST(Libunwind);

struct Walk {
  mn::Context home;
  mn::Context away;
  void* tp = mn::thread_pointer();
  int last = 1;  // what the last unw_step returned
  std::vector<std::string> names;
};

void Step(Walk* walk, unw_cursor_t* cursor) {
  for (int frames = 0; frames < 100; ++frames) {
    std::array<char, 256> name{};
    unw_word_t offset = 0;
    walk->names.emplace_back(unw_get_proc_name(cursor, name.data(), name.size(), &offset) == 0 ? name.data() : "?");
    walk->last = unw_step(cursor);
    if (walk->last <= 0) return;
  }
}

extern "C" MN_NOINLINE void mn_test_inner(Walk* walk) {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  Step(walk, &cursor);
}

extern "C" MN_NOINLINE void mn_test_outer(void* arg) {
  auto* walk = static_cast<Walk*>(arg);
  mn_test_inner(walk);
  mn::context_switch(&walk->away, &walk->home, walk->tp);
  test::NeverResumed();
}

bool Has(const Walk& walk, const std::string& name) {
  return std::find(walk.names.begin(), walk.names.end(), name) != walk.names.end();
}

TEST_P(Libunwind, ReachesTheBottom) {
  TestStack stack;
  Walk walk;
  mn::context_make(&walk.away, stack.base(), TestStack::kSize, mn_test_outer, &walk);
  mn::context_switch(&walk.home, &walk.away, walk.tp);
  EXPECT_EQ(walk.last, 0) << "0: the end of the chain; negative: an error";
  EXPECT_TRUE(Has(walk, "mn_test_inner"));
  EXPECT_TRUE(Has(walk, "mn_test_outer"));
  EXPECT_FALSE(Has(walk, "main")) << "a context is not called by its switcher";
  EXPECT_LE(walk.names.size(), 6u) << testing::PrintToString(walk.names);
  if (GetParam() != mn::SwitchKind::kUcontext) {
    EXPECT_EQ(walk.names.back(), "mn_context_start");
  }
}

// Walks the test's own stack while it is switched out, as an observer of parked threads does: from what the switch
// saved.
TEST_P(Libunwind, WalksAParkedContext) {
  if (GetParam() == mn::SwitchKind::kUcontext) return;  // its frame is libc's swapcontext
  TestStack stack;
  Walk walk;
  mn::context_make(
      &walk.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* w = static_cast<Walk*>(arg);
        auto* frame = static_cast<greg_t*>(w->home.sp);
        // The frame drawn in switch.S: control words, r15, r14, r13, r12, rbx, rbp, return address.
        unw_context_t context{};
        auto& regs = context.uc_mcontext.gregs;
        regs[REG_R15] = frame[1];
        regs[REG_R14] = frame[2];
        regs[REG_R13] = frame[3];
        regs[REG_R12] = frame[4];
        regs[REG_RBX] = frame[5];
        regs[REG_RBP] = frame[6];
        regs[REG_RIP] = frame[7];
        regs[REG_RSP] = reinterpret_cast<greg_t>(frame + 8);
        unw_cursor_t cursor;
        unw_init_local(&cursor, &context);
        Step(w, &cursor);
        mn::context_switch(&w->away, &w->home, w->tp);
        test::NeverResumed();
      },
      &walk);
  mn::context_switch(&walk.home, &walk.away, walk.tp);
  EXPECT_EQ(walk.last, 0);
  EXPECT_TRUE(Has(walk, "main")) << testing::PrintToString(walk.names);
}

extern "C" MN_NOINLINE void mn_test_interrupted() {
  __asm__ volatile("int3" ::: "memory");
  __asm__ volatile("" ::: "memory");
}

Walk* injected;

TEST(LibunwindInject, WalksFromAnInjectedCall) {
  Walk walk;
  injected = &walk;
  ASSERT_TRUE(mn::inject_init([](const mn::Injected&) { mn_test_inner(injected); }));
  test::InjectOnTrap trap;
  mn_test_interrupted();
  EXPECT_EQ(walk.last, 0);
  EXPECT_TRUE(Has(walk, "mn_inject_stub")) << testing::PrintToString(walk.names);
  EXPECT_TRUE(Has(walk, "mn_test_interrupted")) << testing::PrintToString(walk.names);
  EXPECT_TRUE(Has(walk, "main")) << testing::PrintToString(walk.names);
}

}  // namespace
