// SPDX-License-Identifier: Apache-2.0
// Tests the ways to send one's own process a signal: who sends one, and is the only one to take it, has handled it when
// the call returns (POSIX kill).
#include <sys/syscall.h>

#include <functional>

#include "signals.h"

namespace {

using test::Thread;

struct Way {
  const char* name;
  std::function<int(int signal)> send;
};

siginfo_t Queued(int signal) {
  siginfo_t info = {};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  return info;
}

int ThroughDescriptor(int signal, siginfo_t* info) {
  const int process = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  const int result = static_cast<int>(syscall(SYS_pidfd_send_signal, process, signal, info, 0));
  close(process);
  return result;
}

const Way kWays[] = {
    {"kill", [](int signal) { return kill(getpid(), signal); }},
    {"sigqueue", [](int signal) { return sigqueue(getpid(), signal, {}); }},
    {"raise", [](int signal) { return raise(signal); }},
    {"pthread_kill", [](int signal) { return pthread_kill(pthread_self(), signal); }},
    {"SYS_kill", [](int signal) { return static_cast<int>(syscall(SYS_kill, getpid(), signal)); }},
    {"SYS_tgkill", [](int signal) { return static_cast<int>(syscall(SYS_tgkill, getpid(), gettid(), signal)); }},
    {"SYS_rt_sigqueueinfo",
     [](int signal) {
       siginfo_t info = Queued(signal);
       return static_cast<int>(syscall(SYS_rt_sigqueueinfo, getpid(), signal, &info));
     }},
    {"SYS_pidfd_send_signal", [](int signal) { return ThroughDescriptor(signal, nullptr); }},
    {"SYS_pidfd_send_signal with information",
     [](int signal) {
       siginfo_t info = Queued(signal);
       return ThroughDescriptor(signal, &info);
     }},
};

class SignalSelf : public test::Signal {};

TEST_F(SignalSelf, IsHandledWhenTheCallReturns) {
  const sigset_t set = test::Set({SIGUSR1});
  test::Handler handler(SIGUSR1, test::Count);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  test::Gate gate;
  Thread bystander([&] {
    gate.Wait();
    return nullptr;
  });
  test::HereAndInAThread([&] {
    ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
    for (const Way& way : kWays) {
      SCOPED_TRACE(way.name);
      for (int i = 0; i < 200; ++i) {
        const int before = test::handled;
        EXPECT_EQ(way.send(SIGUSR1), 0);
        ASSERT_EQ(test::handled, before + 1);
        EXPECT_EQ(test::handled_by, pthread_self());
        if (i % 20 == 0) test::LetThemWait();
      }
    }
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  });
  gate.Open();
  bystander.Join();
  EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
}

TEST_F(SignalSelf, OfAnotherProcessGoesThere) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(test::kChildSeconds);
    for (;;) pause();
  }
  const int process = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  test::Handler handler(SIGUSR1, test::Count);
  EXPECT_EQ(syscall(SYS_pidfd_send_signal, process, SIGUSR1, nullptr, 0), 0);
  EXPECT_TRUE(test::Killed(test::WaitFor(child), SIGUSR1));
  EXPECT_EQ(syscall(SYS_pidfd_send_signal, process, SIGUSR1, nullptr, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  EXPECT_EQ(syscall(SYS_pidfd_send_signal, STDIN_FILENO, SIGUSR1, nullptr, 0), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(test::handled, 0);
  close(process);
}

}  // namespace
