// SPDX-License-Identifier: Apache-2.0
// A forked child takes signals from its first moment on, and while it idles in any call, whether or not it ever makes a
// thread, and whoever of its parent's threads made it.
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "util.h"

namespace test {
namespace {

int silent[2];  // a pipe that nobody writes to

struct Idling {
  const char* name;
  void (*idle)();  // for ever
};

const Idling kIdlings[] = {
    {"Sleep", [] { sleep(100); }},
    {"Nanosleep",
     [] {
       timespec time{100, 0};
       nanosleep(&time, nullptr);
     }},
    {"Pause", [] { pause(); }},
    {"Sigsuspend",
     [] {
       sigset_t none;
       sigemptyset(&none);
       sigsuspend(&none);
     }},
    {"Read",
     [] {
       char byte;
       (void)!read(silent[0], &byte, 1);
     }},
    {"Poll",
     [] {
       pollfd fd{silent[0], POLLIN, 0};
       poll(&fd, 1, -1);
     }},
    {"PollWithTimeout",
     [] {
       pollfd fd{silent[0], POLLIN, 0};
       poll(&fd, 1, 100'000);
     }},
    {"Select",
     [] {
       fd_set fds;
       FD_ZERO(&fds);
       FD_SET(silent[0], &fds);
       select(silent[0] + 1, &fds, nullptr, nullptr, nullptr);
     }},
    {"EpollWait",
     [] {
       epoll_event event{};
       epoll_wait(epoll_create1(0), &event, 1, -1);
     }},
    {"Accept",
     [] {
       const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
       sockaddr name{AF_UNIX, {}};
       bind(fd, &name, sizeof(sa_family_t));
       listen(fd, 1);
       accept(fd, nullptr, nullptr);
     }},
    {"Recv",
     [] {
       int pair[2];
       char byte;
       (void)!socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
       recv(pair[0], &byte, 1, 0);
     }},
    {"Semaphore",
     [] {
       sem_t semaphore;
       sem_init(&semaphore, 0, 0);
       while (sem_wait(&semaphore) != 0) {
       }
     }},
    {"Mutex",
     [] {
       pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
       pthread_mutex_lock(&mutex);
       pthread_mutex_lock(&mutex);
     }},
    {"Condition",
     [] {
       pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
       pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
       pthread_mutex_lock(&mutex);
       for (;;) pthread_cond_wait(&cond, &mutex);
     }},
    {"Barrier",
     [] {
       pthread_barrier_t barrier;
       pthread_barrier_init(&barrier, nullptr, 2);
       pthread_barrier_wait(&barrier);
     }},
    {"Futex",
     [] {
       int word = 0;
       syscall(SYS_futex, &word, 128 /* FUTEX_WAIT_PRIVATE */, 0, nullptr);
     }},
    {"Waitpid",
     [] {
       const pid_t child = fork();
       if (child == 0) {
         signal(SIGTERM, SIG_DFL);
         pause();
         _exit(0);
       }
       waitpid(child, nullptr, 0);
     }},
    {"Join", [] { std::thread([] { pause(); }).join(); }},
    {"Computes",
     [] {
       for (std::atomic<unsigned> i = 0;; ++i) {
       }
     }},
};

struct History {
  const char* name;
  void (*run)(const std::function<void()>& fork_here);
};

const History kHistories[] = {
    {"WithoutThreads", [](const auto& fork_here) { fork_here(); }},
    {"OnceAThreadEnded",
     [](const auto& fork_here) {
       std::thread([] {}).join();
       fork_here();
     }},
    {"WhileThreadsLive",
     [](const auto& fork_here) {
       std::atomic<bool> stop = false;
       std::thread waits([&] {
         while (!stop) SleepMs(1);
       });
       std::thread computes([&] {
         while (!stop) {
         }
       });
       fork_here();
       stop = true;
       waits.join();
       computes.join();
     }},
    {"ByAThread", [](const auto& fork_here) { std::thread([&] { fork_here(); }).join(); }},
    {"ByAChildsThread",
     [](const auto& fork_here) {
       std::thread([&] {
         EXPECT_TRUE(Exited(RunChild([&] {
                              std::thread([&] { fork_here(); }).join();
                              return testing::Test::HasFailure() ? 1 : 0;
                            }),
                            0));
       }).join();
     }},
};

class ForkIdle : public testing::TestWithParam<std::tuple<Idling, History>> {
 protected:
  // Forks a child that idles, and sends it `sig`.
  static int Signalled(int sig) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      alarm(kChildSeconds);
      (void)!write(ready[1], "x", 1);
      for (;;) std::get<0>(GetParam()).idle();
    }
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    SleepMs(2);  // nearly always it idles by now; when not, the signal comes before, which must be right, too
    kill(child, sig);
    close(ready[0]);
    close(ready[1]);
    return WaitFor(child);
  }
};

TEST_P(ForkIdle, TheChildTakesSignals) {
  ASSERT_EQ(pipe(silent), 0);
  signal(SIGUSR1, [](int) { _exit(55); });
  std::get<1>(GetParam()).run([] {
    EXPECT_TRUE(Exited(Signalled(SIGUSR1), 55));
    EXPECT_TRUE(Killed(Signalled(SIGTERM), SIGTERM));
  });
}

INSTANTIATE_TEST_SUITE_P(All, ForkIdle, testing::Combine(testing::ValuesIn(kIdlings), testing::ValuesIn(kHistories)),
                         [](const auto& param) {
                           return std::string(std::get<0>(param.param).name) + std::get<1>(param.param).name;
                         });

std::atomic<int> handled;

// The signal is sent as soon as the parent knows the child's number.
TEST(ForkSignal, ThatComesAtOnceIsTheChilds) {
  signal(SIGUSR1, [](int) { ++handled; });
  std::thread([] {}).join();
  for (int i = 0; i < 200; ++i) {
    handled = 0;
    const pid_t child = fork();
    if (child == 0) {
      alarm(kChildSeconds);
      while (handled == 0) {
      }
      _exit(handled);
    }
    kill(child, SIGUSR1);
    ASSERT_TRUE(Exited(WaitFor(child), 1)) << i;
    ASSERT_EQ(handled, 0);
  }
}

// What is pending for the parent's threads and the process is not the child's.
TEST(ForkSignal, PendingOnesAreNotInherited) {
  HereAndInAThread([] {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_kill(pthread_self(), SIGUSR1);
    EXPECT_TRUE(Exited(RunChild([] {
                         sigset_t pending;
                         sigpending(&pending);
                         CHILD_CHECK(sigismember(&pending, SIGUSR1) == 0);
                         kill(getpid(), SIGUSR2);
                         sigpending(&pending);
                         CHILD_CHECK(sigismember(&pending, SIGUSR2) == 1);
                         return 0;
                       }),
                       0));
    int sig = 0;
    EXPECT_EQ(sigwait(&set, &sig), 0);
    EXPECT_EQ(sig, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
  });
}

// The parent's own signals, while it forks again and again, are all handled by it.
TEST(ForkSignal, TheParentsAreNotLost) {
  handled = 0;
  signal(SIGUSR1, [](int) { ++handled; });
  std::atomic<bool> stop = false;
  int sent = 0;
  std::thread sender([&] {
    while (!stop) {
      if (handled == sent) {
        ++sent;
        kill(getpid(), SIGUSR1);
      }
      sched_yield();
    }
  });
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Exited(RunChild([] { return 0; }), 0));
  stop = true;
  sender.join();
  EXPECT_TRUE(Eventually([&] { return handled == sent; })) << handled << " of " << sent;
}

}  // namespace
}  // namespace test
