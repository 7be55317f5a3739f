// SPDX-License-Identifier: Apache-2.0
// Tests signals that come to a process in which nothing has run for a while, and SIGQUIT, which programs leave alone.
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "util.h"

namespace {

using test::Thread;

sem_t first, second;

void PostBoth(int) {
  sem_post(&first);
  sem_post(&second);
}

void Take(sem_t* sem) {
  while (sem_wait(sem) != 0) EXPECT_EQ(errno, EINTR);
}

// A child process sends it when all threads here have been asleep for long.
void WakeByHandlerWith(int flags) {
  sem_init(&first, 0, 0);
  sem_init(&second, 0, 0);
  struct sigaction action = {};
  struct sigaction old;
  action.sa_handler = PostBoth;
  action.sa_flags = flags;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  {
    Thread waiter([] {
      Take(&second);
      return nullptr;
    });
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
      test::SleepMs(300);
      _exit(kill(parent, SIGUSR1));
    }
    Take(&first);
    waiter.Join();
    EXPECT_TRUE(test::Exited(test::WaitFor(child), 0));
  }
  EXPECT_EQ(sigaction(SIGUSR1, &old, nullptr), 0);
}

TEST(SignalIdle, RestartingHandlerRuns) {
  WakeByHandlerWith(SA_RESTART);
}

TEST(SignalIdle, InterruptingHandlerRuns) {
  WakeByHandlerWith(0);
}

std::atomic<int> quits;

TEST(SignalQuit, LooksLeftAtItsDefault) {
  Thread([] { return nullptr; });
  struct sigaction action = {};
  struct sigaction old;
  ASSERT_EQ(sigaction(SIGQUIT, nullptr, &old), 0);
  EXPECT_EQ(old.sa_handler, SIG_DFL);
  EXPECT_EQ(old.sa_flags & (SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_NODEFER), 0);
  EXPECT_EQ(signal(SIGQUIT, SIG_IGN), SIG_DFL);
  EXPECT_EQ(raise(SIGQUIT), 0);
  EXPECT_EQ(signal(SIGQUIT, SIG_DFL), SIG_IGN);
  action.sa_handler = [](int) { ++quits; };
  ASSERT_EQ(sigaction(SIGQUIT, &action, &old), 0);
  EXPECT_EQ(old.sa_handler, SIG_DFL);
  EXPECT_EQ(raise(SIGQUIT), 0);
  EXPECT_EQ(quits, 1);
  EXPECT_NE(signal(SIGQUIT, SIG_DFL), SIG_DFL);
}

TEST(SignalQuit, RaiseEndsTheProcess) {
  EXPECT_TRUE(test::Killed(test::RunChild([] { return raise(SIGQUIT); }), SIGQUIT));
}

TEST(SignalQuit, EndsAForkedChildOfAProcessWithThreads) {
  Thread([] { return nullptr; });
  EXPECT_TRUE(test::Killed(test::RunChild([] { return raise(SIGQUIT); }), SIGQUIT));
  EXPECT_TRUE(test::Killed(test::RunChild([] { return kill(getpid(), SIGQUIT); }), SIGQUIT));
  EXPECT_TRUE(test::Killed(test::RunChild([] { return pthread_kill(pthread_self(), SIGQUIT); }), SIGQUIT));
}

TEST(SignalQuit, PendsWhileItIsBlocked) {
  EXPECT_TRUE(test::Killed(test::RunChild([] {
                             sigset_t set;
                             sigemptyset(&set);
                             sigaddset(&set, SIGQUIT);
                             pthread_sigmask(SIG_BLOCK, &set, nullptr);
                             raise(SIGQUIT);
                             sigset_t pending;
                             if (sigpending(&pending) != 0 || sigismember(&pending, SIGQUIT) != 1) return 2;
                             pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
                             return 3;
                           }),
                           SIGQUIT));
}

}  // namespace
