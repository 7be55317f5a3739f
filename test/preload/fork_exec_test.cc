// SPDX-License-Identifier: Apache-2.0
// Tests how other programs are started: vfork, exec, system, popen, posix_spawn.
#include <spawn.h>
#include <stdlib.h>

#include <vector>

#include "use_threads.h"
#include "util.h"

namespace {

using test::Exited;
using test::RunChild;
using test::Thread;
using test::UseThreads;

int VforkAndExec(const char* command) {
  const char* argv[] = {"sh", "-c", command, nullptr};
  const pid_t child = vfork();
  if (child == 0) {
    execv("/bin/sh", const_cast<char**>(argv));
    _exit(127);
  }
  return test::WaitFor(child);
}

TEST(Fork, Vfork) {
  EXPECT_TRUE(Exited(VforkAndExec("exit 9"), 9));
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(Exited(VforkAndExec("exit 10"), 10));
      return nullptr;
    });
  }
  threads.clear();
  const pid_t child = vfork();
  if (child == 0) _exit(11);
  EXPECT_TRUE(Exited(test::WaitFor(child), 11));
  EXPECT_EQ(UseThreads(), 8);
}

TEST(Fork, SystemAndPopen) {
  auto use = [] {
    EXPECT_TRUE(Exited(system("exit 12"), 12));
    FILE* pipe = popen("echo hello", "r");
    if (pipe == nullptr) return static_cast<void*>(nullptr);
    char line[20] = {};
    EXPECT_NE(fgets(line, sizeof line, pipe), nullptr);
    EXPECT_STREQ(line, "hello\n");
    EXPECT_TRUE(Exited(pclose(pipe), 0));
    pipe = popen("read word; test \"$word\" = there || exit 3; exit 4", "w");
    fputs("there\n", pipe);
    EXPECT_TRUE(Exited(pclose(pipe), 4));
    return static_cast<void*>(nullptr);
  };
  use();
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back(use);
}

TEST(Fork, PosixSpawn) {
  auto spawn = [](const char* command) {
    const char* argv[] = {"sh", "-c", command, nullptr};
    pid_t child;
    EXPECT_EQ(posix_spawn(&child, "/bin/sh", nullptr, nullptr, const_cast<char**>(argv), environ), 0);
    return test::WaitFor(child);
  };
  EXPECT_TRUE(Exited(spawn("exit 13"), 13));
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      EXPECT_TRUE(Exited(spawn("exit 14"), 14));
      pid_t child;
      const char* argv[] = {"none", nullptr};
      EXPECT_EQ(posix_spawn(&child, "/nonexistent/program", nullptr, nullptr, const_cast<char**>(argv), environ),
                ENOENT);
      return nullptr;
    });
  }
}

TEST(Fork, ExecFromAThreadReplacesTheProcess) {
  EXPECT_TRUE(Exited(RunChild([]() -> int {
                       std::vector<Thread> busy;
                       for (int i = 0; i < 3; ++i) {
                         busy.emplace_back([]() -> void* {
                           for (;;) usleep(100);
                         });
                       }
                       Thread([]() -> void* {
                         execl("/bin/sh", "sh", "-c", "exit 15", nullptr);
                         _exit(16);
                       });
                       return 17;
                     }),
                     15));
}

}  // namespace
