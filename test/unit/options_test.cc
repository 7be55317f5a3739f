// SPDX-License-Identifier: Apache-2.0
// Tests the parsing of MN_* variables: good and bad values of each kind, defaults, and what is said about a bad one.
#include "runtime/base/options.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

namespace {

struct Parsed {
  bool good = false;
  mn::Options options;
  std::string error;
};

Parsed Parse(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  Parsed p;
  mn::Text error;
  p.good = mn::options_parse(environment.data(), &p.options, &error);
  p.error = {error.data(), error.size()};
  return p;
}

TEST(Options, AbsentOrEmptyMeansDefault) {
  for (const Parsed& p : {Parse({}), Parse({"PATH=/bin", "MN_PROCS=", "MN_MODE=", "MN_DISABLE=", "MN_STATS="})}) {
    EXPECT_TRUE(p.good) << p.error;
    EXPECT_EQ(p.options.procs, 0u);
    EXPECT_EQ(p.options.mode, 0u);
    EXPECT_EQ(p.options.stack_size, 0u);
    EXPECT_EQ(p.options.switcher, 0u);
    EXPECT_EQ(p.options.disable, 0u);
    EXPECT_EQ(p.error, "");
  }
  mn::Options none;
  mn::Text error;
  EXPECT_TRUE(mn::options_parse(nullptr, &none, &error));
}

TEST(Options, NumbersWithinTheirRange) {
  EXPECT_EQ(Parse({"MN_PROCS=1"}).options.procs, 1u);
  EXPECT_EQ(Parse({"MN_PROCS=256"}).options.procs, 256u);
  EXPECT_EQ(Parse({"MN_STACK_SIZE=16384"}).options.stack_size, 16384u);
  EXPECT_EQ(Parse({"MN_STACK_SIZE=1099511627776"}).options.stack_size, 1099511627776u);
  EXPECT_EQ(Parse({"MN_STACK_SIZE=64K"}).options.stack_size, 65536u);
  EXPECT_EQ(Parse({"MN_STACK_SIZE=8M"}).options.stack_size, 8u << 20);
  EXPECT_EQ(Parse({"MN_STACK_SIZE=1G"}).options.stack_size, 1u << 30);
}

TEST(Options, ChoicesAreIndices) {
  EXPECT_EQ(Parse({"MN_MODE=mn"}).options.mode, 0u);
  EXPECT_EQ(Parse({"MN_MODE=1:1"}).options.mode, 1u);
  EXPECT_EQ(Parse({"MN_SWITCH=asm"}).options.switcher, 0u);
  EXPECT_EQ(Parse({"MN_SWITCH=ucontext"}).options.switcher, 1u);
  EXPECT_EQ(Parse({"MN_STATS=1"}).options.stats, 1u);
  EXPECT_EQ(Parse({"MN_HELP=1"}).options.help, 1u);
}

TEST(Options, FlagsAreASet) {
  using mn::DisableBit;
  EXPECT_EQ(Parse({"MN_DISABLE=fsgsbase"}).options.disable, DisableBit::kDisableFsGsBase);
  EXPECT_EQ(Parse({"MN_DISABLE=guard_install"}).options.disable, DisableBit::kDisableGuardInstall);
  EXPECT_EQ(Parse({"MN_DISABLE=membarrier,fsgsbase"}).options.disable,
            uint64_t{DisableBit::kDisableMembarrier} | DisableBit::kDisableFsGsBase);
  EXPECT_EQ(Parse({"MN_DISABLE=fsgsbase,fsgsbase"}).options.disable, DisableBit::kDisableFsGsBase);
}

TEST(Options, SignalsByNameAndNumber) {
  EXPECT_EQ(Parse({}).options.dump_signal, mn::kDumpSignalDefault);
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=none"}).options.dump_signal, 0u);
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=0"}).options.dump_signal, 0u);
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=USR1"}).options.dump_signal, uint64_t{SIGUSR1});
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=SIGUSR2"}).options.dump_signal, uint64_t{SIGUSR2});
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=3"}).options.dump_signal, uint64_t{SIGQUIT});
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=34"}).options.dump_signal, 34u);
  EXPECT_EQ(Parse({"MN_DUMP_SIGNAL=64"}).options.dump_signal, 64u);
}

struct Bad {
  const char* variable;
  const char* value;
  const char* range;
};

class BadOption : public testing::TestWithParam<Bad> {};

TEST_P(BadOption, IsNamedWithItsValueAndRange) {
  std::string entry = std::string(GetParam().variable) + "=" + GetParam().value;
  Parsed p = Parse({"MN_FOO=1", entry.c_str()});
  EXPECT_FALSE(p.good);
  EXPECT_EQ(p.error, std::string("libmn: ") + GetParam().variable + "='" + GetParam().value +
                         "' is not valid: it must be " + GetParam().range + "\n");
}

TEST(Options, AValueForgesNoLine) {
  EXPECT_EQ(Parse({"MN_STATS=1\nlibmn: \x1b[31m\xe4"}).error,
            "libmn: MN_STATS='1\\x0alibmn: \\x1b[31m\\xe4' is not valid: it must be one of 0|1\n");
}

constexpr const char* kBytes = "a number from 16384 to 1099511627776, or with K, M or G behind it";
constexpr const char* kProcs = "a number from 1 to 256";
constexpr const char* kMode = "one of mn|1:1";
constexpr const char* kDisable = "a list of fsgsbase,guard_install,membarrier,cpu_timers,heal";
constexpr const char* kSignal = "none, or the name or number of a signal that can be caught and means no fault";

INSTANTIATE_TEST_SUITE_P(
    All, BadOption,
    testing::Values(Bad{"MN_PROCS", "0", kProcs}, Bad{"MN_PROCS", "257", kProcs}, Bad{"MN_PROCS", "-1", kProcs},
                    Bad{"MN_PROCS", "two", kProcs}, Bad{"MN_PROCS", "2 ", kProcs}, Bad{"MN_PROCS", "1e1", kProcs},
                    Bad{"MN_PROCS", "18446744073709551617", kProcs}, Bad{"MN_STACK_SIZE", "16383", kBytes},
                    Bad{"MN_STACK_SIZE", "15K", kBytes}, Bad{"MN_STACK_SIZE", "M", kBytes},
                    Bad{"MN_STACK_SIZE", "1T", kBytes}, Bad{"MN_STACK_SIZE", "1MB", kBytes},
                    Bad{"MN_STACK_SIZE", "1025G", kBytes}, Bad{"MN_STACK_SIZE", "99999999999999999G", kBytes},
                    Bad{"MN_PROCS", "1K", kProcs}, Bad{"MN_MODE", "m", kMode}, Bad{"MN_MODE", "mnx", kMode},
                    Bad{"MN_MODE", "1", kMode}, Bad{"MN_MODE", "mn|1:1", kMode}, Bad{"MN_MODE", "|", kMode},
                    Bad{"MN_SWITCH", "ASM", "one of asm|ucontext"}, Bad{"MN_STATS", "2", "one of 0|1"},
                    Bad{"MN_DISABLE", "fsgs", kDisable}, Bad{"MN_DISABLE", "fsgsbase,", kDisable},
                    Bad{"MN_DISABLE", ",fsgsbase", kDisable}, Bad{"MN_DISABLE", ",", kDisable},
                    Bad{"MN_DISABLE", "fsgsbase,guard_install,x", kDisable}, Bad{"MN_DUMP_SIGNAL", "SEGV", kSignal},
                    Bad{"MN_DUMP_SIGNAL", "KILL", kSignal}, Bad{"MN_DUMP_SIGNAL", "9", kSignal},
                    Bad{"MN_DUMP_SIGNAL", "11", kSignal}, Bad{"MN_DUMP_SIGNAL", "33", kSignal},
                    Bad{"MN_DUMP_SIGNAL", "65", kSignal}, Bad{"MN_DUMP_SIGNAL", "SIG", kSignal},
                    Bad{"MN_DUMP_SIGNAL", "usr1", kSignal}));

TEST(Options, TheFirstBadOneIsReported) {
  EXPECT_NE(Parse({"MN_STATS=x", "MN_PROCS=x"}).error.find("MN_PROCS"), std::string::npos) << "in the table's order";
}

TEST(Options, NamesMustMatchWholly) {
  Parsed p = Parse({"MN_PROC=x", "MN_PROCSX=x", "XMN_PROCS=x", "MN_PROCS", "mn_procs=x"});
  EXPECT_TRUE(p.good) << p.error;
  EXPECT_EQ(p.options.procs, 0u);
}

TEST(Options, ALongValueIsCutNotOverrun) {
  std::string entry = "MN_PROCS=" + std::string(5000, '9');
  Parsed p = Parse({entry.c_str()});
  EXPECT_FALSE(p.good);
  EXPECT_EQ(p.error.rfind("libmn: MN_PROCS='999", 0), 0u);
  EXPECT_LE(p.error.size(), 512u);
}

TEST(Options, ProgramsAreNamedByTheLastPartOfTheirPaths) {
  EXPECT_EQ(Parse({}).options.programs, nullptr);
  EXPECT_STREQ(Parse({"MN_PROGRAMS=a,b"}).options.programs, "a,b");
  EXPECT_STREQ(Parse({"MN_PROGRAMS=a", "MN_PROCS=x"}).options.programs, "a") << "known whatever the others are";
  EXPECT_TRUE(mn::names_program(nullptr, "/usr/bin/python3", "")) << "all are meant";
  EXPECT_TRUE(mn::names_program("python3", "/usr/bin/python3", "/usr/bin/python3.11"));
  EXPECT_TRUE(mn::names_program("sh,python3.11", "/usr/bin/python3", "/usr/bin/python3.11"));
  EXPECT_TRUE(mn::names_program("python3", "python3", ""));
  EXPECT_FALSE(mn::names_program("python", "/usr/bin/python3", "/usr/bin/python3.11"));
  EXPECT_FALSE(mn::names_program("python3,sh", "/usr/bin/sh.distrib", ""));
  EXPECT_FALSE(mn::names_program("bin,", "/usr/bin/", "")) << "no name at all";
}

std::vector<std::string> help_lines;

TEST(Options, HelpHasALineForEach) {
  help_lines.clear();
  mn::options_help([](const char* data, unsigned long size) { help_lines.emplace_back(data, size); });
  size_t options = 0;
  for (const char* name : {
#define NUMBER(field, variable, dflt, least, most, help) variable,
#define CHOICE(field, variable, dflt, words, help) variable,
#define FLAGS(field, variable, words, help) variable,
#define SIGNAL(field, variable, dflt, help) variable,
#define TEXT(field, variable, help) variable,
#include "runtime/base/options.def"
       }) {
    ASSERT_LT(options, help_lines.size());
    const std::string& line = help_lines[options++];
    EXPECT_EQ(line.rfind(std::string("libmn: ") + name + ": ", 0), 0u) << line;
    EXPECT_EQ(line.back(), '\n') << line;
  }
  EXPECT_EQ(help_lines.size(), options);
}

}  // namespace
