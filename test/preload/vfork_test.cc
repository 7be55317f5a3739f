// SPDX-License-Identifier: Apache-2.0
// vfork: the child shares the parent's memory and stack until it calls exec or _exit.
#include <string.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "util.h"

namespace test {
namespace {

// What /bin/echo, run by a child of vfork, says.
std::string Echoed(const char* word) {
  int ends[2];
  if (pipe(ends) != 0) return "pipe";
  const pid_t child = vfork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    usleep(1000);
    execl("/bin/echo", "echo", word, static_cast<char*>(nullptr));
    _exit(99);
  }
  close(ends[1]);
  char text[64] = {};
  size_t size = 0;
  for (ssize_t n; (n = read(ends[0], text + size, sizeof text - 1 - size)) > 0;) size += static_cast<size_t>(n);
  close(ends[0]);
  EXPECT_TRUE(Exited(WaitFor(child), 0));
  return text;
}

TEST(Vfork, ChildRunsAProgram) {
  HereAndInAThread([] { EXPECT_EQ(Echoed("here"), "here\n"); });
}

TEST(Vfork, FromManyThreadsAtOnce) {
  std::vector<Thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([]() -> void* {
      for (int round = 0; round < 5; ++round) EXPECT_EQ(Echoed("many"), "many\n");
      return nullptr;
    });
}

TEST(Vfork, ChildSharesMemory) {
  HereAndInAThread([] {
    volatile int seen = 0;
    const pid_t child = vfork();
    if (child == 0) {
      seen = 7;
      _exit(3);
    }
    EXPECT_TRUE(Exited(WaitFor(child), 3));
    EXPECT_EQ(seen, 7);
  });
}

// What the innermost of so many processes ended with, each the child of a vfork of the one before.
int EndOfTheInnermost(int depth) {
  const pid_t child = vfork();
  if (child == 0) _exit(depth == 1 ? 7 : EndOfTheInnermost(depth - 1));
  int status = -1;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

TEST(Vfork, ToAnyDepth) {
  HereAndInAThread([] {
    for (const int depth : {1, 3, 4, 5, 200, 6}) EXPECT_EQ(EndOfTheInnermost(depth), 7) << depth;
  });
}

// The child closes and replaces descriptors that other threads of the parent wait for.
TEST(Vfork, ChildsDescriptorsAreItsOwn) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Thread reader([&]() -> void* {
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    return nullptr;
  });
  test::LetThemWait();
  Thread([&]() -> void* {
    const pid_t child = vfork();
    if (child == 0) {
      close(ends[0]);
      dup2(STDERR_FILENO, ends[0]);
      _exit(0);
    }
    EXPECT_TRUE(Exited(WaitFor(child), 0));
    return nullptr;
  });
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  reader.Join();
  close(ends[0]);
  close(ends[1]);
}

TEST(Vfork, ParentsThreadsRunMeanwhile) {
  std::atomic<bool> stop{false};
  std::atomic<int> ticks{0};
  Thread ticker([&]() -> void* {
    while (!stop) {
      SleepMs(1);
      ++ticks;
    }
    return nullptr;
  });
  Thread([&]() -> void* {
    const pid_t child = vfork();
    if (child == 0) {
      execl("/bin/sleep", "sleep", "0.2", static_cast<char*>(nullptr));
      _exit(99);
    }
    const int before = ticks;
    EXPECT_TRUE(Eventually([&] { return ticks > before; }));
    EXPECT_TRUE(Exited(WaitFor(child), 0));
    return nullptr;
  });
  stop = true;
  ticker.Join();
}

}  // namespace
}  // namespace test
