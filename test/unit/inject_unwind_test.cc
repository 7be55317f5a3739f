// SPDX-License-Identifier: Apache-2.0
// Tests that unwinding by libgcc passes from an injected call to the code that it interrupted and on to the bottom.
#include <gtest/gtest.h>
#include <unwind.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "inject_trap.h"
#include "runtime/base/check.h"
#include "sanitize.h"

namespace {

std::vector<void*> functions;

extern "C" MN_NOINLINE void mn_test_interrupted() {
  __asm__ volatile("int3" ::: "memory");
  __asm__ volatile("" ::: "memory");
}

extern "C" MN_NOINLINE void mn_test_caller() {
  mn_test_interrupted();
  __asm__ volatile("" ::: "memory");
}

_Unwind_Reason_Code Note(_Unwind_Context* context, void*) {
  int before = 0;
  uintptr_t ip = _Unwind_GetIPInfo(context, &before);
  functions.push_back(_Unwind_FindEnclosingFunction(reinterpret_cast<void*>(before != 0 ? ip : ip - 1)));
  return _URC_NO_REASON;
}

bool HasFunction(void (*function)()) {
  return std::find(functions.begin(), functions.end(), reinterpret_cast<void*>(function)) != functions.end();
}

class InjectUnwind : public testing::Test {
 protected:
  void SetUp() override { functions.clear(); }
  test::InjectOnTrap trap_;
};

TEST_F(InjectUnwind, LibgccReachesTheBottom) {
  ASSERT_TRUE(mn::inject_init([](const mn::Injected&) { _Unwind_Backtrace(Note, nullptr); }));
  mn_test_caller();
  EXPECT_TRUE(HasFunction(mn_test_interrupted));
  EXPECT_TRUE(HasFunction(mn_test_caller));
}

// At every instruction of the landing, as a signal may find it there.
TEST_F(InjectUnwind, EveryInstructionOfTheLanding) {
  static int steps, lost;
  steps = lost = 0;
  ASSERT_TRUE(mn::inject_init([](const mn::Injected&) {}));
  struct sigaction step {};
  struct sigaction old;
  // Single steps from the breakpoint on, until the interrupted function has returned.
  step.sa_sigaction = [](int, siginfo_t* info, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    constexpr greg_t kTrapFlag = 0x100;
    if (steps++ == 0) {
      mn::inject_call(info, uc, true);
      uc->uc_mcontext.gregs[REG_EFL] |= kTrapFlag;
      return;
    }
    functions.clear();
    _Unwind_Backtrace(Note, nullptr);
    if (HasFunction(mn_test_interrupted)) {
      if (!HasFunction(mn_test_caller)) ++lost;
    } else {
      if (steps < 40) ++lost;
      uc->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
    }
  };
  step.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &step, &old);
  mn_test_caller();
  sigaction(SIGTRAP, &old, nullptr);
  EXPECT_GT(steps, 60) << "the landing pushes and pops sixteen registers, and more";
  EXPECT_EQ(lost, 0);
}

#if !TEST_ASAN  // see backtrace_test.cc
TEST_F(InjectUnwind, ExceptionsPassThrough) {
  ASSERT_TRUE(mn::inject_init([](const mn::Injected&) { throw std::runtime_error("from an injected call"); }));
  // Or the compiler would see that nothing is thrown there.
  void (*volatile caller)() = mn_test_caller;
  for (int i = 0; i < 10; ++i) EXPECT_THROW(caller(), std::runtime_error);
}
#endif

}  // namespace
