// SPDX-License-Identifier: Apache-2.0
// Tests the small generator: never stuck, repeatable, and fair enough to choose victims.
#include "runtime/base/rand.h"

#include <gtest/gtest.h>

#include <array>

namespace {

TEST(Xorshift, FollowsTheRecurrence) {
  mn::Xorshift32 rand(1);
  EXPECT_EQ(rand.next(), 270369u);  // 1 by shifts of 13, 17 and 5, as in the paper
  EXPECT_EQ(rand.next(), 67634689u);
}

TEST(Xorshift, ZeroSeedIsNotStuck) {
  mn::Xorshift32 rand(0);
  EXPECT_NE(rand.next(), 0u);
  EXPECT_NE(rand.next(), rand.next());
}

TEST(Xorshift, EqualSeedsEqualSequences) {
  mn::Xorshift32 a(7);
  mn::Xorshift32 b(7);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(Xorshift, BelowStaysBelowAndIsFair) {
  mn::Xorshift32 rand(3);
  for (uint32_t n : {1u, 2u, 3u, 7u, 8u, 256u}) {
    std::array<int, 256> hits{};
    for (int i = 0; i < 256'000; ++i) {
      uint32_t v = rand.below(n);
      ASSERT_LT(v, n);
      ++hits[v];
    }
    int fair = 256'000 / static_cast<int>(n);
    for (uint32_t v = 0; v < n; ++v) EXPECT_NEAR(hits[v], fair, fair / 5) << v << " of " << n;
  }
}

}  // namespace
