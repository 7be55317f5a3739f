// SPDX-License-Identifier: Apache-2.0
// Tests descriptors that are closed, replaced and reused while threads wait for them. A call goes on with the file that
// it began with, whatever becomes of the number.
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <algorithm>

#include "sockets.h"

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Thread;

constexpr Kind kKinds[] = {Kind::kTcp, Kind::kUdp, Kind::kUnixStream, Kind::kUnixDatagram, Kind::kPipe, Kind::kFifo};

// The ways to take a file off its number.
using Taker = void (*)(int fd, int other);
constexpr Taker kClose = [](int fd, int) { EXPECT_EQ(close(fd), 0); };
constexpr Taker kDup2 = [](int fd, int other) { EXPECT_EQ(dup2(other, fd), fd); };
constexpr Taker kDup3 = [](int fd, int other) { EXPECT_EQ(dup3(other, fd, O_CLOEXEC), fd); };
constexpr Taker kRange = [](int fd, int) {
  EXPECT_EQ(close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0), 0);
};
constexpr Taker kTakers[] = {kClose, kDup2, kDup3, kRange};

char ReadByte(int fd) {
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 1);
  return byte;
}

TEST(Close, AReadGoesOnWithItsFile) {
  for (const Kind kind : kKinds) {
    for (const Taker take : kTakers) {
      SCOPED_TRACE(test::NameOf(kind));
      Channel old(kind), fresh(kind);
      const int number = dup(old.in);
      Caller reader([&] { return ReadByte(number); });
      test::LetThemWait();
      take(number, fresh.in);
      EXPECT_EQ(dup2(fresh.in, number), number);
      Caller next([&] { return ReadByte(number); });
      fresh.Put('n');
      EXPECT_EQ(next.Wait(), Outcome{'n'});
      EXPECT_FALSE(reader.done());
      old.Put('o');
      EXPECT_EQ(reader.Wait(), Outcome{'o'});
      EXPECT_EQ(close(number), 0);
    }
  }
}

TEST(Close, APollGoesOnWithItsFiles) {
  for (const Kind kind : kKinds) {
    for (const int count : {1, 3, 20}) {
      SCOPED_TRACE(test::NameOf(kind));
      Channel old(kind), fresh(kind);
      Channel silent(Kind::kPipe);
      const int number = dup(old.in);
      std::vector<pollfd> fds(static_cast<size_t>(count), pollfd{silent.in, POLLIN, 0});
      fds.back().fd = number;
      Caller poller([&] { return poll(fds.data(), fds.size(), -1); });
      test::LetThemWait();
      EXPECT_EQ(dup2(fresh.in, number), number);
      fresh.Put('n');
      test::LetThemWait();
      EXPECT_FALSE(poller.done());
      old.Put('o');
      EXPECT_EQ(poller.Wait(), Outcome{1});
      EXPECT_EQ(fds.back().revents, POLLIN);
      EXPECT_EQ(close(number), 0);
    }
  }
}

TEST(Close, AWriteGoesOnWithItsFile) {
  for (const Kind kind : {Kind::kUnixStream, Kind::kPipe, Kind::kFifo}) {
    for (const Taker take : kTakers) {
      SCOPED_TRACE(test::NameOf(kind));
      Channel old(kind), fresh(kind);
      size_t left = test::FillUp(old.out) + 1;
      const int number = dup(old.out);
      Caller writer([&] { return write(number, "o", 1); });
      test::LetThemWait();
      take(number, fresh.out);
      EXPECT_EQ(dup2(fresh.out, number), number);
      EXPECT_EQ(write(number, "n", 1), 1);
      EXPECT_EQ(fresh.Get(), 'n');
      EXPECT_FALSE(writer.done());
      std::vector<char> buffer(5000);
      for (ssize_t n; left > 0; left -= static_cast<size_t>(n)) {
        n = read(old.in, buffer.data(), buffer.size());
        ASSERT_GT(n, 0);
      }
      EXPECT_EQ(writer.Wait(), Outcome{1});
      EXPECT_EQ(close(number), 0);
    }
  }
}

TEST(Close, TheFileIsClosedWhenTheLastCallEnds) {
  Channel channel(Kind::kUnixStream);
  const int number = std::exchange(channel.in, -1);
  std::vector<std::unique_ptr<Caller>> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(std::make_unique<Caller>([&] { return ReadByte(number); }));
  test::LetThemWait();
  EXPECT_EQ(close(number), 0);
  test::HereAndInAThread([&] {
    char byte;
    EXPECT_EQ(test::Of(read(number, &byte, 1)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(close(number)), (Outcome{-1, EBADF}));
  });
  for (int i = 0; i < 3; ++i) {
    pollfd fd = {channel.out, 0, 0};
    EXPECT_EQ(poll(&fd, 1, 0), 0);
    channel.Put();
    EXPECT_TRUE(test::Eventually([&] {
      int done = 0;
      for (auto& reader : readers) done += reader->done();
      return done == i + 1;
    }));
  }
  for (auto& reader : readers) EXPECT_EQ(reader->Wait(), Outcome{'x'});
  pollfd fd = {channel.out, 0, 0};
  EXPECT_TRUE(test::Eventually([&] { return poll(&fd, 1, 0) == 1 && (fd.revents & POLLHUP) != 0; }));
}

TEST(Close, AnEndOfDataReachesTheOldFile) {
  for (const Kind kind : {Kind::kTcp, Kind::kUnixStream, Kind::kPipe}) {
    Channel channel(kind);
    const int number = std::exchange(channel.in, -1);
    char byte;
    Caller reader([&] { return read(number, &byte, 1); });
    test::LetThemWait();
    EXPECT_EQ(close(number), 0);
    channel.CloseOut();
    EXPECT_EQ(reader.Wait(), Outcome{0});
  }
}

TEST(Close, ByFclose) {
  Channel old(Kind::kUnixStream), fresh(Kind::kUnixStream);
  const int number = dup(old.in);
  FILE* file = fdopen(number, "r");
  Caller reader([&] { return ReadByte(number); });
  test::LetThemWait();
  EXPECT_EQ(fclose(file), 0);
  EXPECT_EQ(dup2(fresh.in, number), number);
  fresh.Put('n');
  EXPECT_EQ(ReadByte(number), 'n');
  old.Put('o');
  EXPECT_EQ(reader.Wait(), Outcome{'o'});
  close(number);
}

TEST(Close, BySystemCallsOfTheirOwn) {
  for (const Kind kind : kKinds) {
    Channel old(kind), fresh(kind);
    const int number = dup(old.in);
    Caller reader([&] { return ReadByte(number); });
    test::LetThemWait();
    EXPECT_EQ(syscall(SYS_close, number), 0);
    EXPECT_EQ(syscall(SYS_dup2, fresh.in, number), number);
    fresh.Put('n');
    EXPECT_EQ(ReadByte(number), 'n');
    old.Put('o');
    EXPECT_EQ(reader.Wait(), Outcome{'o'});
    EXPECT_EQ(syscall(SYS_close, number), 0);
  }
}

TEST(Close, NumbersAreTheLowestThatAreFree) {
  Channel channel(Kind::kPipe);
  std::vector<std::unique_ptr<Caller>> readers;
  for (int i = 0; i < 4; ++i) readers.push_back(std::make_unique<Caller>([&] { return channel.Get(); }));
  test::LetThemWait();
  const int first = dup(channel.in);
  std::vector<int> numbers = {first};
  for (int i = 1; i < 20; ++i) {
    numbers.push_back(i % 2 == 0 ? eventfd(0, 0) : socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(numbers.back(), first + i);
  }
  const int number = numbers[7];
  Caller waiter([&] {
    eventfd_t value;
    return read(numbers[8], &value, sizeof value);
  });
  test::LetThemWait();
  const int kept = dup(numbers[8]);
  close(numbers[8]);
  close(number);
  EXPECT_EQ(open("/dev/null", O_RDONLY), number);
  EXPECT_EQ(open("/dev/null", O_RDONLY), numbers[8]);
  eventfd_write(kept, 1);
  EXPECT_EQ(waiter.Wait(), Outcome{8});
  close(kept);
  for (const int open_number : numbers) close(open_number);
  for (size_t i = 0; i < readers.size(); ++i) channel.Put();
}

// All that a program closes that closes "everything", while threads wait for what it keeps.
void CloseAllAbove(void (*close_all)()) {
  Channel channel(Kind::kUnixStream), pipe(Kind::kPipe);
  ASSERT_LT(std::max({channel.in, channel.out, pipe.in, pipe.out}), 30);
  std::atomic<bool> stop = false;
  Thread sleeper([&] {
    while (!stop) usleep(1000);
    return nullptr;
  });
  Thread echo([&] {
    for (;;) {
      const char byte = channel.Get();
      pipe.Put(byte);
      if (byte == 'q') return nullptr;
    }
  });
  for (int round = 0; round < 3; ++round) {
    test::LetThemWait();
    close_all();
    for (int i = 0; i < 50; ++i) {
      const char byte = static_cast<char>('a' + i % 10);
      channel.Put(byte);
      EXPECT_EQ(test::InThread([&] { return pipe.Get(); }), byte);
    }
  }
  channel.Put('q');
  EXPECT_EQ(pipe.Get(), 'q');
  stop = true;
}

TEST(Close, EverythingByALoop) {
  CloseAllAbove([] {
    for (int fd = 30; fd < 2000; ++fd) close(fd);
  });
}

TEST(Close, EverythingByARange) {
  CloseAllAbove([] { EXPECT_EQ(close_range(30, ~0u, 0), 0); });
}

TEST(Close, EverythingByClosefrom) {
  CloseAllAbove([] { closefrom(30); });
}

TEST(Close, EverythingBySystemCalls) {
  CloseAllAbove([] { EXPECT_EQ(syscall(SYS_close_range, 30, ~0u, 0), 0); });
  CloseAllAbove([] {
    for (int fd = 30; fd < 2000; ++fd) syscall(SYS_close, fd);
  });
}

TEST(Close, ANumberThatTheProgramTakesForItself) {
  // High numbers, too, are the program's to give.
  Channel channel(Kind::kUnixStream);
  for (int fd = 950; fd < 1000; ++fd) {
    Caller reader([&] { return channel.Get(); });
    test::LetThemWait();
    ASSERT_EQ(dup2(channel.out, fd), fd);
    EXPECT_EQ(write(fd, "h", 1), 1);
    EXPECT_EQ(reader.Wait(), Outcome{'h'});
  }
  for (int fd = 950; fd < 1000; ++fd) EXPECT_EQ(close(fd), 0);
}

TEST(Close, DescriptorsArriveByMessages) {
  Channel carrier(Kind::kUnixStream), carried(Kind::kPipe);
  for (int round = 0; round < 10; ++round) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    char byte = 'm';
    iovec iov = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &carried.in, sizeof(int));
    Caller receiver([&] {
      alignas(cmsghdr) char got[CMSG_SPACE(sizeof(int))];
      char data;
      iovec to = {&data, 1};
      msghdr in = {};
      in.msg_iov = &to;
      in.msg_iovlen = 1;
      in.msg_control = got;
      in.msg_controllen = sizeof got;
      EXPECT_EQ(recvmsg(carrier.in, &in, 0), 1);
      int fd = -1;
      memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&in)), sizeof fd);
      const char result = ReadByte(fd);
      close(fd);
      return result;
    });
    test::LetThemWait();
    EXPECT_EQ(sendmsg(carrier.out, &message, 0), 1);
    test::LetThemWait();
    EXPECT_FALSE(receiver.done());
    carried.Put('c');
    EXPECT_EQ(receiver.Wait(), Outcome{'c'});
  }
}

TEST(Close, ParentAndChildGoOn) {
  for (const Kind kind : {Kind::kTcp, Kind::kPipe, Kind::kUnixDatagram}) {
    Channel channel(kind), answer(Kind::kPipe);
    std::vector<std::unique_ptr<Caller>> readers;
    for (int i = 0; i < 5; ++i) readers.push_back(std::make_unique<Caller>([&] { return channel.Get(); }));
    test::LetThemWait();
    EXPECT_TRUE(test::Exited(test::RunChild([&] {
                               Channel mine(kind);
                               Caller reader([&] { return mine.Get(); });
                               Caller poller([&] {
                                 pollfd fd = {mine.in, POLLIN, 0};
                                 return poll(&fd, 1, -1);
                               });
                               test::LetThemWait();
                               mine.Put('c');
                               const bool good = reader.Wait() == Outcome{'c'};
                               mine.Put('d');
                               return good && poller.Wait() == Outcome{1} ? 7 : 8;
                             }),
                             7));
    for (size_t i = 0; i < readers.size(); ++i) channel.Put('p');
    for (auto& reader : readers) EXPECT_EQ(reader->Wait(), Outcome{'p'});
  }
}

// What waited for the file that had the number before is not for those who wait for the next.
TEST(Close, WhatBecomesOfTheFormerFileIsNotReported) {
  for (const Kind kind : kKinds) {
    for (const bool in_use : {false, true}) {
      SCOPED_TRACE(test::NameOf(kind));
      Channel former(kind), next(kind);
      const int number = dup(former.in);
      std::unique_ptr<Caller> reader;
      if (in_use) {
        reader = std::make_unique<Caller>([&] { return ReadByte(number); });
        test::LetThemWait();
      } else {
        // From a thread, for main has one of the kernel's own at first.
        EXPECT_EQ(test::InThread([=] {
                    pollfd fd = {number, POLLIN, 0};
                    return poll(&fd, 1, 5);
                  }),
                  0);
      }
      EXPECT_EQ(close(number), 0);
      EXPECT_EQ(dup2(next.in, number), number);
      Caller watcher([&]() -> ssize_t {
        pollfd fd = {number, POLLIN, 0};
        return poll(&fd, 1, -1);
      });
      test::LetThemWait();
      former.Put('f');
      test::LetThemWait();
      EXPECT_FALSE(watcher.done());
      if (in_use) {
        EXPECT_EQ(reader->Wait(), Outcome{'f'});
      }
      next.Put('n');
      EXPECT_EQ(watcher.Wait(), Outcome{1});
      EXPECT_EQ(close(number), 0);
    }
  }
}

}  // namespace
