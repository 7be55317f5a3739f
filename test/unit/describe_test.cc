// SPDX-License-Identifier: Apache-2.0
// Tests the words of dumps.
#include "runtime/observe/describe.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/syscall.h>

#include <string>

#include "runtime/os/tcb.h"
#include "runtime/sched/g.h"

namespace {

template <typename Put>
std::string Said(Put put) {
  mn::Text text;
  put(&text);
  return {text.data(), text.size()};
}

std::string Time(int64_t ns) {
  return Said([=](mn::Text* text) { mn::describe_time(ns, text); });
}

std::string Wait(mn::WaitKind kind, const void* key) {
  mn::WaitRecord record;
  record.kind = kind;
  record.key = key;
  return Said([&](mn::Text* text) { mn::describe_wait(record, text); });
}

constexpr int64_t kMs = 1'000'000, kSecond = 1000 * kMs;

TEST(Describe, Times) {
  EXPECT_EQ(Time(0), "0 ms");
  EXPECT_EQ(Time(kMs), "1 ms");
  EXPECT_EQ(Time(999 * kMs), "999 ms");
  EXPECT_EQ(Time(kSecond), "1.0 s");
  EXPECT_EQ(Time(1540 * kMs), "1.5 s");
  EXPECT_EQ(Time(3600 * kSecond), "3600.0 s");
}

TEST(Describe, SystemCalls) {
  const auto call = [](long number) { return Said([=](mn::Text* text) { mn::describe_system_call(number, text); }); };
  EXPECT_EQ(call(SYS_read), "read");
  EXPECT_EQ(call(SYS_poll), "poll");
  EXPECT_EQ(call(99999), "number 99999");
}

TEST(Describe, Threads) {
  mn::G g;
  g.tid = mn::kFakeTidBase + 7;
  char memory;
  g.slot = &memory;
  const auto thread = [&] { return Said([&](mn::Text* text) { mn::describe_thread(&g, text); }); };
  EXPECT_EQ(thread(), "thread 7");
  strcpy(g.name, "worker");
  EXPECT_EQ(thread(), "thread 7 \"worker\"");
}

// The memory that it is about may be gone.
TEST(Describe, WaitsForWhatIsGone) {
  const auto* nowhere = reinterpret_cast<const void*>(0x1000);
  for (int kind = 0; kind < mn::kWaitKinds; ++kind) {
    const std::string text = Wait(static_cast<mn::WaitKind>(kind), nowhere);
    EXPECT_FALSE(text.empty()) << kind;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
  EXPECT_EQ(Wait(mn::WaitKind::kMutex, nowhere), "mutex 0x1000");
}

}  // namespace
