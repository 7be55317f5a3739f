// SPDX-License-Identifier: Apache-2.0
// Signals that the kernel raises for the thread that makes a call: SIGPIPE, SIGXFSZ. A thread that blocks them keeps
// them pending for itself, wherever it goes, and they end with it.
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "signals.h"

namespace test {
namespace {

int Socket() {
  int pair[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  close(pair[1]);
  return pair[0];
}
int Pipe() {
  int pair[2];
  EXPECT_EQ(pipe(pair), 0);
  close(pair[0]);
  return pair[1];
}

iovec g_byte{const_cast<char*>("x"), 1};

struct Way {
  const char* name;
  int sig;
  void (*raise)();
};

constexpr rlim_t kSmall = 4096;
void WriteTooFar() {
  char name[] = "/tmp/raised-XXXXXX";
  const int fd = mkstemp(name);
  unlink(name);
  lseek(fd, kSmall, SEEK_SET);
  EXPECT_EQ(write(fd, "x", 1), -1);
  EXPECT_EQ(errno, EFBIG);
  close(fd);
}

template <class Call>
void Fails(int fd, Call call) {
  EXPECT_EQ(call(fd), -1);
  EXPECT_EQ(errno, EPIPE);
  close(fd);
}

const Way kWays[] = {
    {"WriteToASocket", SIGPIPE, [] { Fails(Socket(), [](int fd) { return write(fd, "x", 1); }); }},
    {"WriteToAPipe", SIGPIPE, [] { Fails(Pipe(), [](int fd) { return write(fd, "x", 1); }); }},
    {"Writev", SIGPIPE, [] { Fails(Pipe(), [](int fd) { return writev(fd, &g_byte, 1); }); }},
    {"WritevToASocket", SIGPIPE, [] { Fails(Socket(), [](int fd) { return writev(fd, &g_byte, 1); }); }},
    {"Send", SIGPIPE, [] { Fails(Socket(), [](int fd) { return send(fd, "x", 1, 0); }); }},
    {"Sendmsg", SIGPIPE,
     [] {
       Fails(Socket(), [](int fd) {
         msghdr message{};
         message.msg_iov = &g_byte;
         message.msg_iovlen = 1;
         return sendmsg(fd, &message, 0);
       });
     }},
    {"Sendmmsg", SIGPIPE,
     [] {
       Fails(Socket(), [](int fd) {
         mmsghdr message{};
         message.msg_hdr.msg_iov = &g_byte;
         message.msg_hdr.msg_iovlen = 1;
         return sendmmsg(fd, &message, 1, 0);
       });
     }},
    {"TooLargeAFile", SIGXFSZ, WriteTooFar},
};

// By libc itself, or by number: what is left at the kernel thread is dropped before it is another's.
const Way kWaysPastLibmn[] = {
    {"Stdio", SIGPIPE,
     [] {
       FILE* file = fdopen(Pipe(), "w");
       fputc('x', file);
       EXPECT_EQ(fflush(file), EOF);
       fclose(file);
     }},
    {"SystemCall", SIGPIPE, [] { Fails(Pipe(), [](int fd) { return syscall(SYS_write, fd, "x", 1L); }); }},
};

void LimitFiles() {
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = kSmall;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

bool Pending(int sig) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, sig) == 1;
}

void Wander() {
  for (int i = 0; i < 20; ++i) {
    sched_yield();
    if (i % 5 == 0) SleepMs(1);
  }
}

thread_local int t_handled;
void CountHere(int) {
  ++t_handled;
}

class Raised : public testing::TestWithParam<Way> {
 protected:
  // Others that have it open run on the same kernel threads.
  void BesideOthers(const std::function<void()>& body) {
    std::atomic<bool> stop = false;
    std::atomic<int> strays = 0;
    {
      std::vector<Thread> others;
      for (int i = 0; i < 4; ++i)
        others.emplace_back([&]() -> void* {
          while (!stop) Wander();
          strays += t_handled;
          return nullptr;
        });
      Thread([&]() -> void* {
        body();
        return nullptr;
      });
      Wander();
      stop = true;
    }
    EXPECT_EQ(strays, 0);
    EXPECT_EQ(t_handled, 0);
  }
};

class RaisedByACall : public Raised {};

// Natively the process is killed should another thread get it.
TEST_P(Raised, EndsWithItsThread) {
  LimitFiles();
  BesideOthers([] {
    Mask(SIG_BLOCK, GetParam().sig);
    GetParam().raise();
    Wander();
  });
}

TEST_P(RaisedByACall, StaysPendingForItsThreadUntilThatOpensIt) {
  LimitFiles();
  Handler handler(GetParam().sig, CountHere, 0);
  BesideOthers([] {
    Mask(SIG_BLOCK, GetParam().sig);
    GetParam().raise();
    EXPECT_TRUE(Pending(GetParam().sig));
    Wander();
    EXPECT_TRUE(Pending(GetParam().sig));
    EXPECT_EQ(t_handled, 0);
    Mask(SIG_UNBLOCK, GetParam().sig);
    EXPECT_EQ(t_handled, 1);
    EXPECT_FALSE(Pending(GetParam().sig));
  });
}

TEST_P(RaisedByACall, IsTakenBySigwait) {
  LimitFiles();
  BesideOthers([] {
    Mask(SIG_BLOCK, GetParam().sig);
    GetParam().raise();
    Wander();
    const sigset_t set = Set({GetParam().sig});
    int sig = 0;
    EXPECT_EQ(sigwait(&set, &sig), 0);
    EXPECT_EQ(sig, GetParam().sig);
  });
}

TEST_P(Raised, RunsTheHandlerAtOnceWhereItIsOpen) {
  LimitFiles();
  Handler handler(GetParam().sig, CountHere, 0);
  BesideOthers([] {
    GetParam().raise();
    EXPECT_EQ(t_handled, 1);
  });
}

std::string NameOf(const testing::TestParamInfo<Way>& way) {
  return way.param.name;
}
INSTANTIATE_TEST_SUITE_P(All, Raised, testing::ValuesIn(kWays), NameOf);
INSTANTIATE_TEST_SUITE_P(PastLibmn, Raised, testing::ValuesIn(kWaysPastLibmn), NameOf);
INSTANTIATE_TEST_SUITE_P(All, RaisedByACall, testing::ValuesIn(kWays), NameOf);

}  // namespace
}  // namespace test
