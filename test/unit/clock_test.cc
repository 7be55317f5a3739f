// SPDX-License-Identifier: Apache-2.0
// Tests times: conversions that saturate, and deadlines on a clock that can be set.
#include "runtime/os/clock.h"
#include "real_libc.h"

#include <gtest/gtest.h>

namespace {

TEST(Timespec, ConvertsAndSaturates) {
  EXPECT_EQ(mn::timespec_ns({1, 5}), 1'000'000'005);
  EXPECT_EQ(mn::timespec_ns({0, 0}), 0);
  EXPECT_EQ(mn::timespec_ns({-1, 999'999'999}), 0) << "long passed";
  EXPECT_EQ(mn::timespec_ns({INT64_MAX, 0}), mn::kForever);
  EXPECT_EQ(mn::timespec_ns({INT64_MAX / mn::kNsPerSec, 999'999'999}), mn::kForever);
  timespec ts = mn::ns_timespec(1'000'000'005);
  EXPECT_EQ(ts.tv_sec, 1);
  EXPECT_EQ(ts.tv_nsec, 5);
}

TEST(Timespec, NanosecondsMustBeLessThanASecond) {
  EXPECT_TRUE(mn::valid_timespec({0, 0}));
  EXPECT_TRUE(mn::valid_timespec({-5, 999'999'999}));
  EXPECT_FALSE(mn::valid_timespec({0, 1'000'000'000}));
  EXPECT_FALSE(mn::valid_timespec({0, -1}));
}

TEST(Deadline, NeverIsNeverPassed) {
  for (clockid_t clock : {mn::kOwnClock, CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    mn::Deadline never{clock, mn::kForever};
    EXPECT_TRUE(never.never());
    EXPECT_FALSE(never.passed());
    EXPECT_EQ(never.monotonic(), mn::kForever);
  }
}

TEST(Deadline, IsTranslatedToTheRuntimesClock) {
  mn::Deadline own{mn::kOwnClock, 12345};
  EXPECT_EQ(own.monotonic(), 12345);
  EXPECT_TRUE(own.passed());
  int64_t now = mn::now_ns();
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    mn::Deadline programs{clock, mn::clock_ns(clock) + mn::kNsPerSec};
    EXPECT_FALSE(programs.passed());
    EXPECT_NEAR(static_cast<double>(programs.monotonic() - now), 1e9, 2e8);
  }
  mn::Deadline past{CLOCK_REALTIME, 0};
  EXPECT_TRUE(past.passed());
  int64_t at = past.monotonic();
  EXPECT_GE(at, now);
  EXPECT_LE(at, mn::now_ns());
  mn::Deadline far{CLOCK_REALTIME, mn::kForever - 1};
  EXPECT_GT(far.monotonic(), now);
}

}  // namespace
