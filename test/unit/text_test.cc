// SPDX-License-Identifier: Apache-2.0
// Tests the line builder, the parsing of decimals and the comparison of strings.
#include "runtime/base/text.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

namespace {

template <class... Parts>
std::string Built(Parts... parts) {
  mn::Text text;
  (text << ... << parts);
  return {text.data(), text.size()};
}

TEST(Text, PutsPartsTogether) {
  EXPECT_EQ(Built("a", 'b', 12, -3, "", 4u), "ab12-34");
  EXPECT_EQ(Built(""), "");
}

TEST(Text, KnowsTheLimitsOfNumbers) {
  EXPECT_EQ(Built(uint64_t{0}), "0");
  EXPECT_EQ(Built(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(Built(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(Built(std::numeric_limits<int64_t>::max()), "9223372036854775807");
  EXPECT_EQ(Built(std::numeric_limits<int>::min()), "-2147483648");
}

TEST(Text, CutsOffWhatDoesNotFit) {
  std::string longer(1000, 'x');
  mn::Text text;
  text << longer.c_str() << "y" << 5;
  EXPECT_EQ(text.size(), 511u);
  EXPECT_EQ(std::string(text.c_str()), longer.substr(0, 511));
}

TEST(Text, CanBeReadAsACString) {
  mn::Text text;
  text << "/proc/" << 7;
  EXPECT_STREQ(text.c_str(), "/proc/7");
  text << "/stat";
  EXPECT_STREQ(text.c_str(), "/proc/7/stat");
}

TEST(ParseDecimal, TakesWholeStringsOfDigits) {
  uint64_t value = 1;
  EXPECT_TRUE(mn::parse_decimal("0", &value));
  EXPECT_EQ(value, 0u);
  EXPECT_TRUE(mn::parse_decimal("0012", &value));
  EXPECT_EQ(value, 12u);
  EXPECT_TRUE(mn::parse_decimal("18446744073709551615", &value));
  EXPECT_EQ(value, std::numeric_limits<uint64_t>::max());
}

TEST(ParseDecimal, RefusesTheRestAndLeavesTheValueAlone) {
  for (const char* bad :
       {"", " 1", "1 ", "+1", "-1", "1k", "0x10", "1.0", "18446744073709551616", "99999999999999999999", "\xff"}) {
    uint64_t value = 42;
    EXPECT_FALSE(mn::parse_decimal(bad, &value)) << bad;
    EXPECT_EQ(value, 42u) << bad;
  }
}

TEST(SameText, ComparesWholeStrings) {
  EXPECT_TRUE(mn::same_text("", ""));
  EXPECT_TRUE(mn::same_text("abc", "abc"));
  EXPECT_FALSE(mn::same_text("abc", "abd"));
  EXPECT_FALSE(mn::same_text("ab", "abc"));
  EXPECT_FALSE(mn::same_text("abc", "ab"));
  EXPECT_FALSE(mn::same_text("", "a"));
}

}  // namespace
