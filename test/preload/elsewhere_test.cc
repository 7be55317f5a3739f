// SPDX-License-Identifier: Apache-2.0
// Tests that threads which block in the kernel hold nobody up where there is no /proc to see it in: after chroot to an
// empty folder, and where a filter refuses to open any path. All tests of stall_test.cc that need no files there.
#include "elsewhere.h"

#include <string>

#include "util.h"

namespace {

// Runs those tests of this program in a process of its own, which inherits whatever is preloaded.
void RunStalled(const char* place, const std::string& except) {
  const int status = test::RunChild([&] {
    setenv(test::kElsewhere, place, 1);
    const std::string filter = "--gtest_filter=Stalled.*-" + except;
    execl("/proc/self/exe", "preload_tests", filter.c_str(), "--gtest_color=no", nullptr);
    return 1;
  });
  EXPECT_TRUE(test::Exited(status, 0));
}

TEST(Elsewhere, StalledInAnEmptyRoot) {
  if (geteuid() != 0) {
    printf("not root: nothing tested\n");
    return;
  }
  char folder[] = "/tmp/elsewhere.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string files = std::string(folder) + "/tmp";  // of the tests
  ASSERT_EQ(mkdir(files.c_str(), 0777), 0);
  RunStalled(folder, "Stalled.InAStdioLock");
  EXPECT_EQ(rmdir(files.c_str()), 0);
  EXPECT_EQ(rmdir(folder), 0);
}

TEST(Elsewhere, StalledWithoutPaths) {
  RunStalled(test::kNoPaths, "Stalled.InAStdioLock:Stalled.InFileLocks:Stalled.InOpenOfAFifo");
}

}  // namespace
