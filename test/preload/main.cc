// SPDX-License-Identifier: Apache-2.0
// GoogleTest's own main catches what it takes for exceptions of a test. Where a test's child calls pthread_exit on
// main, libc unwinds through it, and GoogleTest must not stand in the way.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "elsewhere.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::GTEST_FLAG(catch_exceptions) = false;
  if (const char* place = getenv(test::kElsewhere); place != nullptr && !test::Go(place)) return test::kCannotGo;
  return RUN_ALL_TESTS();
}
