// SPDX-License-Identifier: Apache-2.0
// Tests that a thread which blocks in the kernel, in whatever way, does not hold up the others.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Thread;

constexpr int kBlocked = 10;

// Runs `block` in several threads, more than there are processors, and meanwhile another thread
// that works and sleeps and only then lets them go by `release`, called once for each.
void Stall(const std::function<void()>& block, const std::function<void()>& release) {
  std::atomic<int> entered = 0;
  std::atomic<int> left = 0;
  std::vector<Thread> blocked;
  for (int i = 0; i < kBlocked; ++i) {
    blocked.emplace_back([&] {
      ++entered;
      block();
      ++left;
      return nullptr;
    });
  }
  Thread worker([&] {
    EXPECT_TRUE(test::Eventually([&] { return entered == kBlocked; }));
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    for (int i = 0; i < 50; ++i) {
      pthread_mutex_lock(&mutex);
      pthread_mutex_unlock(&mutex);
      sched_yield();
      if (i % 10 == 0) usleep(10);
      Thread([] { return nullptr; });
    }
    EXPECT_EQ(left, 0);
    for (int i = 0; i < kBlocked; ++i) release();
    return nullptr;
  });
  worker.Join();
  blocked.clear();
  EXPECT_EQ(left, kBlocked);
}

class Stalled : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(pipe_), 0); }
  void TearDown() override {
    close(pipe_[0]);
    close(pipe_[1]);
  }
  void WriteByte() { EXPECT_EQ(write(pipe_[1], "x", 1), 1); }

  int pipe_[2];
};

TEST_F(Stalled, InRead) {
  Stall(
      [&] {
        char byte = 0;
        EXPECT_EQ(read(pipe_[0], &byte, 1), 1);
        EXPECT_EQ(byte, 'x');
      },
      [&] { WriteByte(); });
}

TEST_F(Stalled, InARawSystemCall) {
  Stall(
      [&] {
        char byte = 0;
        EXPECT_EQ(syscall(SYS_read, pipe_[0], &byte, 1), 1);
      },
      [&] { WriteByte(); });
}

TEST_F(Stalled, InPollSelectAndEpoll) {
  Stall(
      [&] {
        pollfd descriptor = {.fd = pipe_[0], .events = POLLIN, .revents = 0};
        EXPECT_EQ(poll(&descriptor, 1, -1), 1);
      },
      [&] { WriteByte(); });
  char bytes[kBlocked];
  EXPECT_EQ(read(pipe_[0], bytes, sizeof bytes), kBlocked);
  Stall(
      [&] {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(pipe_[0], &set);
        EXPECT_EQ(select(pipe_[0] + 1, &set, nullptr, nullptr, nullptr), 1);
      },
      [&] { WriteByte(); });
  EXPECT_EQ(read(pipe_[0], bytes, sizeof bytes), kBlocked);
  const int poller = epoll_create1(0);
  epoll_event event = {.events = EPOLLIN, .data = {.fd = pipe_[0]}};
  ASSERT_EQ(epoll_ctl(poller, EPOLL_CTL_ADD, pipe_[0], &event), 0);
  Stall(
      [&] {
        epoll_event got;
        EXPECT_EQ(epoll_wait(poller, &got, 1, -1), 1);
        EXPECT_EQ(got.data.fd, pipe_[0]);
      },
      [&] { WriteByte(); });
  close(poller);
}

TEST_F(Stalled, InStdio) {
  // Nothing of this is visible to whoever stands before libc's functions.
  Stall(
      [&] {
        FILE* file = fdopen(dup(pipe_[0]), "r");
        setvbuf(file, nullptr, _IONBF, 0);
        EXPECT_EQ(fgetc(file), 'x');
        fclose(file);
      },
      [&] { WriteByte(); });
}

TEST_F(Stalled, InAStdioLock) {
  FILE* file = tmpfile();
  ASSERT_NE(file, nullptr);
  flockfile(file);
  std::atomic<int> releases = 0;
  Thread([&] { return nullptr; });
  std::atomic<bool> unlock = false;
  std::vector<Thread> blocked;
  std::atomic<int> entered = 0;
  for (int i = 0; i < kBlocked; ++i) {
    blocked.emplace_back([&] {
      ++entered;
      fputc('x', file);
      ++releases;
      return nullptr;
    });
  }
  Thread worker([&] {
    EXPECT_TRUE(test::Eventually([&] { return entered == kBlocked; }));
    test::LetThemWait();
    EXPECT_EQ(releases, 0);
    unlock = true;
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return unlock.load(); }));
  funlockfile(file);
  worker.Join();
  blocked.clear();
  EXPECT_EQ(releases, kBlocked);
  EXPECT_EQ(ftell(file), kBlocked);
  fclose(file);
}

TEST_F(Stalled, InSockets) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
  Stall(
      [&] {
        char byte = 0;
        EXPECT_EQ(recv(sockets[0], &byte, 1, 0), 1);
      },
      [&] { EXPECT_EQ(send(sockets[1], "x", 1, 0), 1); });
  close(sockets[0]);
  close(sockets[1]);
}

TEST_F(Stalled, InFileLocks) {
  char name[] = "/tmp/stall_test.XXXXXX";
  const int holder = mkstemp(name);
  ASSERT_NE(holder, -1);
  ASSERT_EQ(flock(holder, LOCK_EX), 0);
  bool released = false;
  Stall(
      [&] {
        const int file = open(name, O_RDWR);
        EXPECT_EQ(flock(file, LOCK_EX), 0);
        close(file);
      },
      [&] {
        if (!released) {
          EXPECT_EQ(flock(holder, LOCK_UN), 0);
        }
        released = true;
      });
  close(holder);
  unlink(name);
}

TEST_F(Stalled, InOpenOfAFifo) {
  char folder[] = "/tmp/stall_test.XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string fifo = std::string(folder) + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  int writer = -1;
  Stall(
      [&] {
        const int file = open(fifo.c_str(), O_RDONLY);
        EXPECT_NE(file, -1);
        close(file);
      },
      [&] {
        if (writer == -1) writer = open(fifo.c_str(), O_WRONLY);
        EXPECT_NE(writer, -1);
      });
  close(writer);
  unlink(fifo.c_str());
  rmdir(folder);
}

TEST_F(Stalled, InWaitpid) {
  std::vector<pid_t> children;
  for (int i = 0; i < kBlocked; ++i) {
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      alarm(test::kChildSeconds);
      char byte;
      _exit(read(pipe_[0], &byte, 1) == 1 ? 21 : 22);
    }
    children.push_back(child);
  }
  std::atomic<size_t> next = 0;
  Stall([&] { EXPECT_TRUE(test::Exited(test::WaitFor(children[next++]), 21)); }, [&] { WriteByte(); });
}

TEST_F(Stalled, InARawFutex) {
  static uint32_t word;
  word = 0;
  Stall(
      [] {
        while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0) {
          syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
        }
      },
      [] {
        __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
      });
}

TEST_F(Stalled, AllButTheSleeper) {
  // While one after the other blocks in a futex that the kernel must see, somebody still minds the timer.
  constexpr int kThreads = 100;
  uint32_t word = 0;
  std::vector<Thread> threads;
  std::atomic<int> entered = 0;
  Thread sleeper([&] {
    do usleep(200);
    while (entered != kThreads);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
    return nullptr;
  });
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      ++entered;
      while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0)
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
      return nullptr;
    });
  }
}

TEST_F(Stalled, InStandardAtomics) {
  std::atomic<int> word = 0;
  Stall([&] { word.wait(0); },
        [&] {
          word = 1;
          word.notify_all();
        });
}

TEST_F(Stalled, InTimerDescriptors) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  ASSERT_NE(timer, -1);
  std::atomic<bool> worked = false;
  Thread waiter([&] {
    const itimerspec times = {.it_interval = {}, .it_value = test::Ms(20)};
    EXPECT_EQ(timerfd_settime(timer, 0, &times, nullptr), 0);
    uint64_t expirations = 0;
    EXPECT_EQ(read(timer, &expirations, sizeof expirations), static_cast<ssize_t>(sizeof expirations));
    EXPECT_EQ(expirations, 1u);
    return nullptr;
  });
  Thread worker([&] {
    for (int i = 0; i < 20; ++i) {
      usleep(10);
      sched_yield();
    }
    worked = true;
    return nullptr;
  });
  waiter.Join();
  worker.Join();
  EXPECT_TRUE(worked);
  close(timer);
}

TEST_F(Stalled, DescriptorsKeepTheirFlags) {
  // Blocking reads must not leave O_NONBLOCK behind on the shared open file.
  Stall(
      [&] {
        char byte = 0;
        EXPECT_EQ(fcntl(pipe_[0], F_GETFL) & O_NONBLOCK, 0);
        EXPECT_EQ(read(pipe_[0], &byte, 1), 1);
      },
      [&] {
        EXPECT_EQ(fcntl(pipe_[0], F_GETFL) & O_NONBLOCK, 0);
        WriteByte();
      });
}

TEST_F(Stalled, PipelineOfThreads) {
  // Bytes through twenty threads and pipes.
  constexpr int kStages = 20;
  constexpr int kBytes = 500;
  int pipes[kStages + 1][2];
  for (auto& ends : pipes) ASSERT_EQ(pipe(ends), 0);
  std::vector<Thread> stages;
  for (int s = 0; s < kStages; ++s) {
    stages.emplace_back([&, s] {
      unsigned char byte;
      while (read(pipes[s][0], &byte, 1) == 1) {
        ++byte;
        EXPECT_EQ(write(pipes[s + 1][1], &byte, 1), 1);
      }
      close(pipes[s][0]);
      close(pipes[s + 1][1]);
      return nullptr;
    });
  }
  Thread writer([&] {
    for (int i = 0; i < kBytes; ++i) {
      const auto byte = static_cast<unsigned char>(i);
      EXPECT_EQ(write(pipes[0][1], &byte, 1), 1);
    }
    close(pipes[0][1]);
    return nullptr;
  });
  unsigned char byte;
  int count = 0;
  for (; read(pipes[kStages][0], &byte, 1) == 1; ++count) {
    EXPECT_EQ(byte, static_cast<unsigned char>(count + kStages));
  }
  EXPECT_EQ(count, kBytes);
  close(pipes[kStages][0]);
}

}  // namespace
