// SPDX-License-Identifier: Apache-2.0
// Tests that a process survives as many signals as others can send, of the numbers that libc uses itself and of those
// that the program handles: handlers do not nest without end.
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Thread;

constexpr int kMany = 20'000;
constexpr int kCancel = 32, kSetxid = 33;  // libc's

std::atomic<int> handled = 0;

// So that libc, and libmn, have their handlers for both.
void UseLibcsSignals() {
  Thread canceled([] {
    for (;;) pause();
    return nullptr;
  });
  CHILD_CHECK(pthread_cancel(canceled.id()) == 0);
  CHILD_CHECK(canceled.Join() == PTHREAD_CANCELED);
  CHILD_CHECK(seteuid(geteuid()) == 0);
}

// As many as are pending at once, and not blocked, the kernel delivers before the first handler has run.
void Send(pid_t process, int sig, bool queued) {
  siginfo_t info{};
  info.si_signo = sig;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  for (int i = 0; i < kMany; ++i) {
    const long sent = queued ? syscall(SYS_rt_sigqueueinfo, process, sig, &info) : kill(process, sig);
    if (sent == 0) continue;
    ASSERT_EQ(errno, EAGAIN);  // RLIMIT_SIGPENDING
    sched_yield();
  }
}

struct Flood {
  int sig;
  bool queued;
};

class SignalFlood : public testing::TestWithParam<Flood> {};

TEST_P(SignalFlood, IsSurvived) {
  const auto [sig, queued] = GetParam();
  int ready[2], over[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(over), 0);
  const pid_t child = fork();
  if (child == 0) {
    alarm(test::kChildSeconds);
    close(over[1]);
    CHILD_CHECK(signal(SIGUSR1, [](int) { ++handled; }) != SIG_ERR);
    CHILD_CHECK(signal(SIGRTMIN, [](int) { ++handled; }) != SIG_ERR);
    UseLibcsSignals();
    std::atomic<bool> stop = false;
    std::vector<Thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        while (!stop) sched_yield();
        return nullptr;
      });
      threads.emplace_back([&] {
        while (!stop) usleep(1000);
        return nullptr;
      });
    }
    char byte = 0;
    CHILD_CHECK(write(ready[1], &byte, 1) == 1);
    ssize_t got;
    do got = read(over[0], &byte, 1);
    while (got == -1 && errno == EINTR);
    stop = true;
    threads.clear();
    const bool is_libcs = sig == kCancel || sig == kSetxid;
    CHILD_CHECK((handled != 0) == !is_libcs);
    UseLibcsSignals();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  Send(child, sig, queued);
  close(over[1]);
  EXPECT_TRUE(test::Exited(test::WaitFor(child), 0));
  for (const int fd : {ready[0], ready[1], over[0]}) close(fd);
}

INSTANTIATE_TEST_SUITE_P(Of, SignalFlood,
                         testing::Values(Flood{kCancel, false}, Flood{kCancel, true}, Flood{kSetxid, false},
                                         Flood{kSetxid, true}, Flood{SIGUSR1, false}, Flood{SIGUSR1, true},
                                         Flood{SIGRTMIN, true}),
                         [](const auto& flood) {
                           return std::string(flood.param.queued ? "Queued" : "Sent") + std::to_string(flood.param.sig);
                         });

}  // namespace
