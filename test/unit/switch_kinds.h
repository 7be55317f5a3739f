// SPDX-License-Identifier: Apache-2.0
// What tests of context switches share: the kinds of switch, stacks, and a context with a stack of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/arch/context.h"
#include "runtime/base/check.h"
#include "sanitize.h"

namespace test {

inline void UseSwitch(mn::SwitchKind kind) {
  mn::context_init(kind == mn::SwitchKind::kUcontext, kind != mn::SwitchKind::kArchPrctl);
}

// All kinds that this machine has.
inline std::vector<mn::SwitchKind> SwitchKinds() {
  std::vector<mn::SwitchKind> kinds = {mn::SwitchKind::kArchPrctl, mn::SwitchKind::kUcontext};
  mn::context_init(false, true);
  if (mn::context_kind() == mn::SwitchKind::kFsGsBase) kinds.push_back(mn::SwitchKind::kFsGsBase);
  return kinds;
}

inline std::string SwitchName(const testing::TestParamInfo<mn::SwitchKind>& info) {
  switch (info.param) {
    case mn::SwitchKind::kFsGsBase:
      return "FsGsBase";
    case mn::SwitchKind::kArchPrctl:
      return "ArchPrctl";
    case mn::SwitchKind::kUcontext:
      return "Ucontext";
  }
  return "Unknown";
}

// Maps a fresh stack: nothing that an earlier context left is on it.
class TestStack {
 public:
  static constexpr size_t kSize = 256 * 1024;

  TestStack() : base_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    MakeFresh(base_, kSize);
  }
  ~TestStack() { munmap(base_, kSize); }
  TestStack(const TestStack&) = delete;
  TestStack& operator=(const TestStack&) = delete;

  void* base() const { return base_; }
  bool Holds(const void* p) const {
    auto at = reinterpret_cast<uintptr_t>(p);
    auto low = reinterpret_cast<uintptr_t>(base_);
    return at >= low && at < low + kSize;
  }

 private:
  void* base_;
};

class SwitchTest : public testing::TestWithParam<mn::SwitchKind> {
 protected:
  void SetUp() override { UseSwitch(GetParam()); }
};

}  // namespace test

#define INSTANTIATE_SWITCH_TEST(name) \
  INSTANTIATE_TEST_SUITE_P(All, name, testing::ValuesIn(test::SwitchKinds()), test::SwitchName)
