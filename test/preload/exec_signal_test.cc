// SPDX-License-Identifier: Apache-2.0
// What is pending for a thread and its process stays pending when it executes another program (POSIX exec), and when
// that fails.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "util.h"

namespace test {
namespace {

// It says what is pending for itself.
char g_cat[] = "/bin/cat", g_status[] = "/proc/self/status";
char* const kArguments[] = {g_cat, g_status, nullptr};

struct Way {
  const char* name;
  void (*execute)();
};
const Way kWays[] = {
    {"Execve", [] { execve(g_cat, kArguments, environ); }},
    {"Execv", [] { execv(g_cat, kArguments); }},
    {"Execvp", [] { execvp("cat", kArguments); }},
    {"Execvpe", [] { execvpe("cat", kArguments, environ); }},
    {"Execl", [] { execl(g_cat, "cat", g_status, nullptr); }},
    {"Execlp", [] { execlp("cat", "cat", g_status, nullptr); }},
    {"Execle", [] { execle(g_cat, "cat", g_status, nullptr, environ); }},
    {"Fexecve", [] { fexecve(open(g_cat, O_RDONLY), kArguments, environ); }},
    {"Execveat", [] { execveat(AT_FDCWD, g_cat, kArguments, environ, 0); }},
    {"SystemCall", [] { syscall(SYS_execve, g_cat, kArguments, environ); }},
};

sigset_t Both() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  return set;
}

// One pending for the thread, one for the process.
void Pend() {
  const sigset_t set = Both();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  pthread_kill(pthread_self(), SIGUSR1);
  kill(getpid(), SIGUSR2);
}

class ExecSignal : public testing::TestWithParam<Way> {
 protected:
  static std::string Pending(void (*in_child)()) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      alarm(kChildSeconds);
      dup2(ends[1], 1);
      in_child();
      _exit(98);
    }
    close(ends[1]);
    std::string text(8000, '\0');
    size_t size = 0;
    for (ssize_t n; (n = read(ends[0], &text[size], text.size() - size)) > 0;) size += static_cast<size_t>(n);
    close(ends[0]);
    EXPECT_TRUE(Exited(WaitFor(child), 0));
    text.resize(size);
    return text;
  }
};

std::string Line(const char* name, int sig) {
  char text[100];
  snprintf(text, sizeof text, "%s:\t%016lx\n", name, 1ul << (sig - 1));
  return text;
}

void ExpectBoth(const std::string& status) {
  EXPECT_NE(status.find(Line("SigPnd", SIGUSR1)), std::string::npos) << status;
  EXPECT_NE(status.find(Line("ShdPnd", SIGUSR2)), std::string::npos) << status;
}

TEST_P(ExecSignal, StaysPending) {
  ExpectBoth(Pending([] {
    Pend();
    GetParam().execute();
  }));
}

TEST_P(ExecSignal, OfAThreadStaysPending) {
  ExpectBoth(Pending([] {
    sigset_t set = Both();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    Thread([]() -> void* {
      Pend();
      GetParam().execute();
      return nullptr;
    });
  }));
}

INSTANTIATE_TEST_SUITE_P(All, ExecSignal, testing::ValuesIn(kWays),
                         [](const auto& way) { return std::string(way.param.name); });

TEST(ExecSignalFails, ItIsPendingAsBefore) {
  const sigset_t both = Both();
  pthread_sigmask(SIG_BLOCK, &both, nullptr);
  HereAndInAThread([] {
    Pend();
    char* const none[] = {nullptr};
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(execve("/nowhere", none, environ), -1);
      EXPECT_EQ(errno, ENOENT);
      EXPECT_EQ(execlp("nowhere-to-be-found", "x", nullptr), -1);
      EXPECT_EQ(errno, ENOENT);
      sched_yield();
    }
    sigset_t pending;
    EXPECT_EQ(sigpending(&pending), 0);
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 1);
    EXPECT_EQ(sigismember(&pending, SIGUSR2), 1);
    const sigset_t set = Both();
    int sig = 0;
    for (int expected : {SIGUSR1, SIGUSR2}) {
      EXPECT_EQ(sigwait(&set, &sig), 0);
      EXPECT_EQ(sig, expected);
    }
  });
}

}  // namespace
}  // namespace test
