// SPDX-License-Identifier: Apache-2.0
// Tests that system calls which threads make by themselves, between computations, are not ended by their being stopped
// in favour of others: no EINTR that there is not natively, no byte lost, no time cut short.
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include <string>

#include "rivals.h"

namespace {

// Past libc and all that may stand before it.
long Raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

template <typename T>
long Address(T* p) {
  return reinterpret_cast<long>(p);
}

constexpr int kCalls = 10;

// A thread that computes for part of a turn, at each round another part, and then makes `call`, beside those who only
// compute. `release` is called in another thread a while after each call began.
void Between(const std::function<void()>& call, const std::function<void()>& release = nullptr) {
  test::Load load;
  std::atomic<int> begun = 0;
  test::Thread caller([&] {
    for (int i = 0; i < kCalls; ++i) {
      for (int k = 0; k < 20 * (i + 1); ++k) test::ComputeABit();
      ++begun;
      call();
    }
    return nullptr;
  });
  if (release != nullptr) {
    for (int i = 0; i < kCalls; ++i) {
      while (begun <= i) test::SleepMs(1);
      test::SleepMs(5);
      release();
    }
  }
}

class PreemptCall : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(pipe_), 0); }
  void TearDown() override {
    close(pipe_[0]);
    close(pipe_[1]);
  }
  void Put() { EXPECT_EQ(write(pipe_[1], "x", 1), 1); }
  void Get() {
    char byte = 0;
    EXPECT_EQ(read(pipe_[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
  }

  int pipe_[2];
};

TEST_F(PreemptCall, Read) {
  Between(
      [&] {
        char byte = 0;
        EXPECT_EQ(Raw(SYS_read, pipe_[0], Address(&byte), 1), 1);
        EXPECT_EQ(byte, 'x');
      },
      [&] { Put(); });
}

TEST_F(PreemptCall, Write) {
  const int capacity = fcntl(pipe_[1], F_SETPIPE_SZ, 4096);
  ASSERT_GT(capacity, 0);
  std::vector<char> data(static_cast<size_t>(capacity) * 2, 'x');
  Between(
      [&] { EXPECT_EQ(Raw(SYS_write, pipe_[1], Address(data.data()), static_cast<long>(data.size())), 2 * capacity); },
      [&] {
        for (int i = 0; i < 2 * capacity; ++i) Get();
      });
}

TEST_F(PreemptCall, Sleeps) {
  Between([] {
    const int64_t begin = test::NowNs();
    const timespec time = test::Ms(7);
    EXPECT_EQ(Raw(SYS_nanosleep, Address(&time), 0), 0);
    EXPECT_EQ(Raw(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, Address(&time), 0), 0);
    EXPECT_GE(test::NowNs() - begin, 14 * test::kNsPerMs);
  });
}

TEST_F(PreemptCall, PollSelectAndEpoll) {
  const int set = epoll_create1(0);
  epoll_event event = {.events = EPOLLIN, .data = {}};
  ASSERT_EQ(epoll_ctl(set, EPOLL_CTL_ADD, pipe_[0], &event), 0);
  int round = 0;
  Between(
      [&] {
        pollfd descriptor = {.fd = pipe_[0], .events = POLLIN, .revents = 0};
        fd_set reads;
        FD_ZERO(&reads);
        FD_SET(pipe_[0], &reads);
        epoll_event got;
        if (round % 3 == 0) {
          EXPECT_EQ(Raw(SYS_poll, Address(&descriptor), 1, -1), 1);
        } else if (round % 3 == 1) {
          EXPECT_EQ(Raw(SYS_select, pipe_[0] + 1, Address(&reads), 0, 0, 0), 1);
        } else {
          EXPECT_EQ(Raw(SYS_epoll_wait, set, Address(&got), 1, -1), 1);
        }
        ++round;
        Get();
      },
      [&] { Put(); });
  close(set);
}

TEST_F(PreemptCall, PollThatTimesOut) {
  Between([&] {
    pollfd descriptor = {.fd = pipe_[0], .events = POLLIN, .revents = 0};
    EXPECT_EQ(Raw(SYS_poll, Address(&descriptor), 1, 7), 0);
  });
}

TEST_F(PreemptCall, Futex) {
  static uint32_t word;
  word = 0;
  Between(
      [] {
        while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0) {
          const long result = Raw(SYS_futex, Address(&word), FUTEX_WAIT_PRIVATE, 0, 0);
          EXPECT_TRUE(result == 0 || result == -EAGAIN) << result;
        }
        __atomic_store_n(&word, 0, __ATOMIC_RELEASE);
      },
      [] {
        __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
        Raw(SYS_futex, Address(&word), FUTEX_WAKE_PRIVATE, 1);
      });
}

TEST_F(PreemptCall, FutexThatTimesOut) {
  static uint32_t word;
  Between([] {
    const timespec time = test::Ms(7);
    EXPECT_EQ(Raw(SYS_futex, Address(&word), FUTEX_WAIT_PRIVATE, 0, Address(&time)), -ETIMEDOUT);
  });
}

TEST_F(PreemptCall, Sockets) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  Between(
      [&] {
        char bytes[2] = {};
        EXPECT_EQ(Raw(SYS_recvfrom, ends[0], Address(bytes), 2, MSG_WAITALL), 2);
      },
      [&] {
        EXPECT_EQ(send(ends[1], "x", 1, 0), 1);
        test::SleepMs(1);
        EXPECT_EQ(send(ends[1], "x", 1, 0), 1);
      });
  const timeval time = {.tv_sec = 0, .tv_usec = 7000};
  ASSERT_EQ(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), 0);
  Between([&] {
    char byte;
    EXPECT_EQ(Raw(SYS_recvfrom, ends[0], Address(&byte), 1, 0), -EAGAIN);
  });
  close(ends[0]);
  close(ends[1]);
}

// System V's, which no handler's SA_RESTART would begin again.
TEST_F(PreemptCall, SemaphoresAndQueuesOfSystemV) {
  const int sem = semget(IPC_PRIVATE, 1, 0600);
  const int queue = msgget(IPC_PRIVATE, 0600);
  ASSERT_NE(sem, -1);
  ASSERT_NE(queue, -1);
  struct Message {
    long type;
    char text[8];
  };
  Between(
      [&] {
        sembuf down = {0, -1, 0};
        Message message = {};
        EXPECT_EQ(Raw(SYS_semop, sem, Address(&down), 1), 0);
        EXPECT_EQ(Raw(SYS_msgrcv, queue, Address(&message), 8, 0, 0), 8);
      },
      [&] {
        sembuf up = {0, 1, 0};
        EXPECT_EQ(semop(sem, &up, 1), 0);
        test::SleepMs(5);
        const Message message = {1, {}};
        EXPECT_EQ(msgsnd(queue, &message, 8, 0), 0);
      });
  const timespec time = test::Ms(7);
  Between([&] {
    sembuf down = {0, -1, 0};
    EXPECT_EQ(Raw(SYS_semtimedop, sem, Address(&down), 1, Address(&time)), -EAGAIN);
  });
  semctl(sem, 0, IPC_RMID);
  msgctl(queue, IPC_RMID, nullptr);
}

TEST_F(PreemptCall, MessageQueues) {
  const std::string name = "/preempt_call_test." + std::to_string(getpid());
  mq_attr attributes = {};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 1;
  const mqd_t queue = mq_open(name.c_str(), O_CREAT | O_RDWR, 0600, &attributes);
  ASSERT_NE(queue, -1);
  mq_unlink(name.c_str());
  Between(
      [&] {
        char byte;
        EXPECT_EQ(Raw(SYS_mq_timedreceive, queue, Address(&byte), 1, 0, 0), 1);
      },
      [&] { EXPECT_EQ(mq_send(queue, "x", 1, 0), 0); });
  mq_close(queue);
}

TEST_F(PreemptCall, SignalsThatAreWaitedFor) {
  Between([] {
    const uint64_t set = uint64_t{1} << (SIGUSR1 - 1);
    const timespec time = test::Ms(7);
    EXPECT_EQ(Raw(SYS_rt_sigtimedwait, Address(&set), 0, Address(&time), 8), -EAGAIN);
  });
}

TEST_F(PreemptCall, TimerDescriptors) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  Between([&] {
    const itimerspec once = {.it_interval = {}, .it_value = test::Ms(7)};
    EXPECT_EQ(Raw(SYS_timerfd_settime, timer, 0, Address(&once), 0), 0);
    uint64_t expirations = 0;
    EXPECT_EQ(Raw(SYS_read, timer, Address(&expirations), 8), 8);
    EXPECT_EQ(expirations, 1u);
  });
  close(timer);
}

TEST_F(PreemptCall, Waitid) {
  std::vector<pid_t> children;
  for (int i = 0; i < kCalls; ++i) {
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      alarm(test::kChildSeconds);
      char byte;
      _exit(read(pipe_[0], &byte, 1) == 1 ? 21 : 22);
    }
    children.push_back(child);
  }
  Between(
      [&] {
        siginfo_t info = {};
        EXPECT_EQ(Raw(SYS_waitid, P_ALL, 0, Address(&info), WEXITED, 0), 0);
        EXPECT_EQ(info.si_status, 21);
      },
      [&] { Put(); });
}

TEST_F(PreemptCall, FileLocks) {
  char name[] = "/tmp/preempt_call_test.XXXXXX";
  const int mine = mkstemp(name);
  ASSERT_NE(mine, -1);
  const int others = open(name, O_RDWR);
  ASSERT_EQ(flock(others, LOCK_EX), 0);
  Between(
      [&] {
        EXPECT_EQ(Raw(SYS_flock, mine, LOCK_EX), 0);
        EXPECT_EQ(Raw(SYS_flock, mine, LOCK_UN), 0);
        EXPECT_EQ(flock(others, LOCK_EX), 0);
      },
      [&] { EXPECT_EQ(flock(others, LOCK_UN), 0); });
  close(mine);
  close(others);
  unlink(name);
}

}  // namespace
