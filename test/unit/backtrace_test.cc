// SPDX-License-Identifier: Apache-2.0
// Tests unwinding by libgcc in a context: _Unwind_Backtrace ends at the bottom, and C++ exceptions are thrown and
// caught.
#include <unwind.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "runtime/os/tcb.h"
#include "switch_kinds.h"

namespace {

using test::TestStack;

class Backtrace : public test::SwitchTest {};
INSTANTIATE_SWITCH_TEST(Backtrace);

struct Walk {
  mn::Context home;
  mn::Context away;
  void* tp = mn::thread_pointer();
  _Unwind_Reason_Code reason = _URC_NO_REASON;
  std::vector<void*> functions;
  int caught = 0;
};

_Unwind_Reason_Code Note(_Unwind_Context* context, void* arg) {
  auto* walk = static_cast<Walk*>(arg);
  uintptr_t ip = _Unwind_GetIP(context);
  walk->functions.push_back(_Unwind_FindEnclosingFunction(reinterpret_cast<void*>(ip - 1)));
  return walk->functions.size() < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

MN_NOINLINE void Inner(Walk* walk) {
  walk->reason = _Unwind_Backtrace(Note, walk);
}

void Outer(void* arg) {
  auto* walk = static_cast<Walk*>(arg);
  Inner(walk);
  mn::context_switch(&walk->away, &walk->home, walk->tp);
  test::NeverResumed();
}

TEST_P(Backtrace, EndsAtTheBottom) {
  TestStack stack;
  Walk walk;
  mn::context_make(&walk.away, stack.base(), TestStack::kSize, Outer, &walk);
  mn::context_switch(&walk.home, &walk.away, walk.tp);
  EXPECT_EQ(walk.reason, _URC_END_OF_STACK);
  ASSERT_GE(walk.functions.size(), 2u);
  EXPECT_LE(walk.functions.size(), 6u);
  EXPECT_NE(std::find(walk.functions.begin(), walk.functions.end(), reinterpret_cast<void*>(Outer)),
            walk.functions.end());
}

// Not under AddressSanitizer: on a throw it clears the marks of the kernel thread's stack, which is not this one.
#if !TEST_ASAN
MN_NOINLINE void Throw(Walk* walk, int depth) {
  if (depth == 0) {
    mn::context_switch(&walk->away, &walk->home, walk->tp);
    throw std::runtime_error("from a context");
  }
  Throw(walk, depth - 1);
}

TEST_P(Backtrace, ExceptionsAreCaughtInTheirContext) {
  TestStack stack;
  Walk walk;
  mn::context_make(
      &walk.away, stack.base(), TestStack::kSize,
      [](void* arg) {
        auto* w = static_cast<Walk*>(arg);
        while (test::Always()) {
          try {
            Throw(w, 5);
          } catch (const std::runtime_error&) {
            ++w->caught;
          }
        }
      },
      &walk);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(walk.caught, i > 0 ? i - 1 : 0);
    mn::context_switch(&walk.home, &walk.away, walk.tp);
    EXPECT_THROW(throw std::logic_error("meanwhile"), std::logic_error);
  }
}
#endif

}  // namespace
