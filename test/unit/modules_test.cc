// SPDX-License-Identifier: Apache-2.0
// Tests how observers find modules and names of functions, in this program, in libraries, and in damaged files.
#include "runtime/observe/modules.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "runtime/observe/elf_symbols.h"
#include "runtime/os/memory.h"

extern "C" __attribute__((noinline, visibility("default"))) int mn_test_function(int x) {
  __asm__ volatile("");
  return x + 1;
}

namespace {

uint64_t Address(const void* p) {
  return reinterpret_cast<uint64_t>(p);
}

class ModulesTest : public testing::Test {
 protected:
  void SetUp() override { modules_->map(); }
  void TearDown() override { modules_->unmap(); }
  std::string Describe(uint64_t address, uint64_t code) {
    mn::Text text;
    modules_->describe(address, code, &text);
    return {text.data(), text.size()};
  }
  std::string Describe(uint64_t address) { return Describe(address, address); }

  std::unique_ptr<mn::Modules> modules_ = std::make_unique<mn::Modules>();
};

std::string Program() {
  char path[4096] = {};
  return readlink("/proc/self/exe", path, sizeof path - 1) > 0 ? path : "";
}

TEST_F(ModulesTest, FindsTheProgram) {
  mn::Module* module = modules_->find(Address(reinterpret_cast<void*>(mn_test_function)));
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->path, Program());
  EXPECT_TRUE(module->code);
  Dl_info info;
  ASSERT_NE(dladdr(reinterpret_cast<void*>(mn_test_function), &info), 0);
  EXPECT_EQ(module->bias, Address(info.dli_fbase));
  EXPECT_NE(module->frame_index, 0u);
}

TEST_F(ModulesTest, FindsLibraries) {
  void* in_libc = dlsym(RTLD_DEFAULT, "getenv");
  mn::Module* module = modules_->find(Address(in_libc));
  ASSERT_NE(module, nullptr);
  EXPECT_NE(strstr(module->path, "libc.so"), nullptr);
  EXPECT_EQ(modules_->find(module->low), module);
  EXPECT_EQ(modules_->find(module->high - 1), module);
  EXPECT_NE(modules_->find(module->high), module);
}

TEST_F(ModulesTest, FindsNothingElsewhere) {
  int on_the_stack = 0;
  EXPECT_EQ(modules_->find(Address(&on_the_stack)), nullptr);
  EXPECT_EQ(modules_->find(0), nullptr);
  EXPECT_EQ(modules_->find(~uint64_t{0}), nullptr);
}

TEST_F(ModulesTest, FindsWhatIsLoadedLater) {
  void* library = dlopen("libcrypt.so.1", RTLD_NOW);
  if (library == nullptr) library = dlopen("libresolv.so.2", RTLD_NOW);
  ASSERT_NE(library, nullptr);
  modules_->map();
  Dl_info info;
  void* symbol = dlsym(library, "crypt") != nullptr ? dlsym(library, "crypt") : dlsym(library, "ns_name_ntop");
  ASSERT_NE(dladdr(symbol, &info), 0);
  mn::Module* module = modules_->find(Address(symbol));
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->bias, Address(info.dli_fbase));
  dlclose(library);
}

TEST_F(ModulesTest, DescribesByName) {
  const uint64_t at = Address(reinterpret_cast<void*>(mn_test_function));
  const std::string end = " (" + Program() + "+0x";
  EXPECT_EQ(Describe(at).rfind("mn_test_function+0x0" + end, 0), 0u) << Describe(at);
  EXPECT_EQ(Describe(at + 2).rfind("mn_test_function+0x2" + end, 0), 0u);
  // A return address behind the last instruction of a function is that function's.
  EXPECT_EQ(Describe(at + 1, at).rfind("mn_test_function+0x1" + end, 0), 0u);
  // The second time it comes from the cache.
  EXPECT_EQ(Describe(at + 2), Describe(at + 2));
  EXPECT_EQ(Describe(Address(dlsym(RTLD_DEFAULT, "getenv"))).rfind("getenv+0x0 (", 0), 0u);
}

TEST_F(ModulesTest, DescribesTheUnknownByNumber) {
  EXPECT_EQ(Describe(0x1234), "0x1234");
  int on_the_stack = 0;
  char expected[32];
  snprintf(expected, sizeof expected, "%p", static_cast<void*>(&on_the_stack));
  EXPECT_EQ(Describe(Address(&on_the_stack)), expected);
}

TEST(ElfSymbols, FilesThatAreNone) {
  size_t size = 0;
  EXPECT_EQ(mn::map_file("/nowhere", &size), nullptr);
  EXPECT_EQ(mn::map_file("/proc/self/maps", &size), nullptr);
  EXPECT_EQ(mn::map_file("/dev/null", &size), nullptr);
  EXPECT_EQ(mn::map_file("/", &size), nullptr);
  EXPECT_EQ(mn::map_file("/etc/passwd", &size), nullptr);
}

// Whatever is wrong with it: no name, or one that lies within the file.
TEST(ElfSymbols, DamagedFiles) {
  size_t size = 0;
  const char* file = mn::map_file(Program().c_str(), &size);
  ASSERT_NE(file, nullptr);
  Dl_info info;
  ASSERT_NE(dladdr(reinterpret_cast<void*>(mn_test_function), &info), 0);
  const uint64_t address = Address(reinterpret_cast<void*>(mn_test_function)) - Address(info.dli_fbase);
  uint64_t offset = 1;
  const char* name = mn::elf_symbol(file, size, address, &offset);
  ASSERT_NE(name, nullptr);
  EXPECT_STREQ(name, "mn_test_function");
  EXPECT_EQ(offset, 0u);

  std::mt19937 random(1);
  uint64_t sections;
  memcpy(&sections, file + 40, sizeof sections);  // Elf64_Ehdr::e_shoff
  std::string copy(file, size);
  for (int i = 0; i < 30; ++i) {
    std::string bad = copy;
    const size_t from = i % 3 == 0 ? 0 : i % 3 == 1 ? sections : random() % size;
    for (int k = 0; k < 50; ++k) bad[std::min(size - 1, from + random() % 2048)] = static_cast<char>(random());
    const size_t length = i % 5 == 0 ? random() % size : size;
    const char* found = mn::elf_symbol(bad.data(), length, address, &offset);
    if (found == nullptr) continue;
    EXPECT_GE(found, bad.data());
    EXPECT_LT(found + strlen(found), bad.data() + length);
  }
  mn::unmap_memory(const_cast<char*>(file), size);
}

}  // namespace
