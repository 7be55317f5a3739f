// SPDX-License-Identifier: Apache-2.0
// Tests what moves data through one descriptor: waiting, ends of data, transfers in parts, and O_NONBLOCK.
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "sockets.h"

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Thread;

class Stream : public testing::TestWithParam<Kind> {
 protected:
  bool IsSocket() const { return GetParam() <= Kind::kUnixPacket; }
  bool KeepsBoundaries() const {
    return GetParam() == Kind::kUdp || GetParam() == Kind::kUnixDatagram || GetParam() == Kind::kUnixPacket;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, Stream,
                         testing::Values(Kind::kTcp, Kind::kUdp, Kind::kUnixStream, Kind::kUnixDatagram,
                                         Kind::kUnixPacket, Kind::kPipe, Kind::kFifo, Kind::kPty),
                         [](const auto& param) { return std::string(test::NameOf(param.param)); });

TEST_P(Stream, AReaderWaitsForData) {
  Channel channel(GetParam());
  for (int i = 0; i < 40; ++i) {
    char byte = 0;
    Caller reader([&] { return read(channel.in, &byte, 1); });
    if (i % 2 == 0) test::LetThemWait();
    channel.Put(static_cast<char>('A' + i));
    EXPECT_EQ(reader.Wait(), Outcome{1});
    EXPECT_EQ(byte, 'A' + i);
  }
}

TEST_P(Stream, VectorsAreFilledInOrder) {
  Channel channel(GetParam());
  char a[2] = {}, b[1] = {}, c[8] = {};
  iovec to[4] = {{a, 2}, {nullptr, 0}, {b, 1}, {c, 8}};
  Caller reader([&] { return readv(channel.in, to, 4); });
  test::LetThemWait();
  iovec from[3] = {{const_cast<char*>("12"), 2}, {nullptr, 0}, {const_cast<char*>("345"), 3}};
  EXPECT_EQ(writev(channel.out, from, 3), 5);
  EXPECT_EQ(reader.Wait(), Outcome{5});
  EXPECT_EQ(std::string(a, 2) + std::string(b, 1) + c, "12345");
}

TEST_P(Stream, ManyReadersShareOneDescriptor) {
  Channel channel(GetParam());
  constexpr int kReaders = 20, kRounds = 30;
  std::atomic<int> got = 0;
  std::vector<Thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        channel.Get();
        ++got;
      }
      return nullptr;
    });
  }
  for (int i = 0; i < kReaders * kRounds; ++i) {
    channel.Put();
    // No more is put than a queue of datagrams holds.
    if (i % 4 == 3) {
      EXPECT_TRUE(test::Eventually([&] { return got > i - 4; })) << i;
    }
  }
  readers.clear();
  EXPECT_EQ(got, kReaders * kRounds);
}

TEST_P(Stream, NonblockingCallsDoNotWait) {
  Channel channel(GetParam());
  // As a blocking descriptor first, for a while.
  for (int i = 0; i < 5; ++i) {
    Caller reader([&] { return channel.Get(); });
    test::LetThemWait();
    channel.Put();
    reader.Wait();
  }
  char byte;
  iovec iov = {&byte, 1};
  for (const bool by_ioctl : {false, true}) {
    for (const bool by_duplicate : {false, true}) {
      const int other = by_duplicate ? dup(channel.in) : channel.in;
      int yes = 1, no = 0;
      if (by_ioctl) {
        EXPECT_EQ(ioctl(other, FIONBIO, &yes), 0);
      } else {
        test::SetNonblocking(other);
      }
      test::HereAndInAThread([&] {
        EXPECT_EQ(test::Of(read(channel.in, &byte, 1)), (Outcome{-1, EAGAIN}));
        EXPECT_EQ(test::Of(readv(channel.in, &iov, 1)), (Outcome{-1, EAGAIN}));
        if (IsSocket()) {
          EXPECT_EQ(test::Of(recv(channel.in, &byte, 1, 0)), (Outcome{-1, EAGAIN}));
        }
        EXPECT_TRUE(test::IsNonblocking(channel.in));
      });
      EXPECT_EQ(ioctl(other, FIONBIO, &no), 0);
      if (by_duplicate) close(other);
      Caller reader([&] { return channel.Get(); });
      test::LetThemWait();
      EXPECT_FALSE(reader.done());
      channel.Put();
      EXPECT_EQ(reader.Wait(), Outcome{'x'});
    }
  }
}

TEST_P(Stream, AChildMakesItNonblocking) {
  Channel channel(GetParam());
  for (int i = 0; i < 3; ++i) {
    Caller reader([&] { return channel.Get(); });
    test::LetThemWait();
    channel.Put();
    reader.Wait();
  }
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             test::SetNonblocking(channel.in);
                             return 3;
                           }),
                           3));
  char byte;
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(read(channel.in, &byte, 1)), (Outcome{-1, EAGAIN})); });
}

TEST_P(Stream, NobodyElseSeesItNonblocking) {
  Channel channel(GetParam());
  EXPECT_FALSE(test::IsNonblocking(channel.in));
  Caller reader([&] { return channel.Get(); });
  for (int i = 0; i < 5; ++i) {
    test::InThread([&] {
      EXPECT_FALSE(test::IsNonblocking(channel.in));
      return 0;
    });
    test::LetThemWait();
  }
  channel.Put();
  reader.Wait();
  EXPECT_FALSE(test::IsNonblocking(channel.in));
}

TEST_P(Stream, TheEndOfDataEndsAllReaders) {
  // Datagrams know no end.
  if (GetParam() == Kind::kUdp || GetParam() == Kind::kUnixDatagram) return;
  Channel channel(GetParam());
  char byte;
  std::vector<std::unique_ptr<Caller>> readers;
  for (int i = 0; i < 5; ++i) {
    readers.push_back(std::make_unique<Caller>([&] {
      char mine;
      return read(channel.in, &mine, 1);
    }));
  }
  test::LetThemWait();
  channel.CloseOut();
  const Outcome end = GetParam() == Kind::kPty ? Outcome{-1, EIO} : Outcome{0};
  for (auto& reader : readers) EXPECT_EQ(reader->Wait(), end);
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(read(channel.in, &byte, 1)), end); });
}

TEST_P(Stream, WritersWaitForRoom) {
  // UDP loses what finds no room.
  if (GetParam() == Kind::kUdp) return;
  Channel channel(GetParam());
  size_t left = test::FillUp(channel);
  std::vector<std::unique_ptr<Caller>> writers;
  for (int i = 0; i < 5; ++i) {
    writers.push_back(std::make_unique<Caller>([&] { return write(channel.out, "wxyz", 4); }));
  }
  test::LetThemWait();
  for (auto& writer : writers) EXPECT_FALSE(writer->done());
  left += 5 * 4;
  std::vector<char> buffer(5000);
  while (left > 0) {
    const ssize_t n = read(channel.in, buffer.data(), buffer.size());
    ASSERT_GT(n, 0);
    left -= static_cast<size_t>(n);
  }
  for (auto& writer : writers) EXPECT_EQ(writer->Wait(), Outcome{4});
  EXPECT_FALSE(test::IsNonblocking(channel.out));
}

TEST_P(Stream, LargeTransfersArriveWholeAndInOrder) {
  if (KeepsBoundaries()) return;
  // A terminal's buffers are small and slow.
  const size_t size = GetParam() == Kind::kPty ? 50'000 : 1 << 20;
  Channel channel(GetParam());
  std::vector<char> data(size);
  for (size_t i = 0; i < size; ++i) data[i] = test::ByteAt(i);
  std::vector<std::function<ssize_t()>> calls;
  calls.emplace_back([&] { return write(channel.out, data.data(), size); });
  calls.emplace_back([&] {
    std::vector<iovec> parts;
    const size_t part = size / 100 + 1;
    for (size_t at = 0; at < size; at += part) parts.push_back({&data[at], std::min(part, size - at)});
    return writev(channel.out, parts.data(), static_cast<int>(parts.size()));
  });
  if (IsSocket()) {
    calls.emplace_back([&] { return send(channel.out, data.data(), size, 0); });
    calls.emplace_back([&] {
      iovec parts[] = {
          {data.data(), 1}, {nullptr, 0}, {&data[1], size / 2}, {&data[1 + size / 2], size - size / 2 - 1}};
      msghdr message = {};
      message.msg_iov = parts;
      message.msg_iovlen = 4;
      return sendmsg(channel.out, &message, 0);
    });
  }
  for (const auto& call : calls) {
    Caller writer(call);
    std::vector<char> buffer(7000);
    for (size_t at = 0; at < size;) {
      const ssize_t n = read(channel.in, buffer.data(), buffer.size());
      ASSERT_GT(n, 0);
      for (ssize_t i = 0; i < n; ++i) ASSERT_EQ(buffer[static_cast<size_t>(i)], test::ByteAt(at++));
      if (at % 3 == 0) sched_yield();
    }
    EXPECT_EQ(writer.Wait(), Outcome{static_cast<ssize_t>(size)});
  }
}

TEST_P(Stream, BothDirectionsAtOnce) {
  if (GetParam() == Kind::kPipe || GetParam() == Kind::kFifo) return;
  Channel channel(GetParam());
  auto echo = [](int fd, bool first) {
    char byte = 0;
    for (int i = 0; i < 300; ++i) {
      if (first) {
        byte = static_cast<char>(i | 1);
        EXPECT_EQ(write(fd, &byte, 1), 1);
      }
      char got = 0;
      EXPECT_EQ(read(fd, &got, 1), 1);
      if (first) {
        EXPECT_EQ(got, byte);
      } else {
        EXPECT_EQ(write(fd, &got, 1), 1);
      }
    }
    return nullptr;
  };
  Thread a([&] { return echo(channel.out, true); });
  Thread b([&] { return echo(channel.in, false); });
}

TEST_P(Stream, NothingToReadOrWriteDoesNotWait) {
  Channel channel(GetParam());
  char byte;
  iovec none[2] = {{&byte, 0}, {nullptr, 0}};
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(read(channel.in, &byte, 0)), Outcome{0});
    EXPECT_EQ(test::Of(readv(channel.in, none, 2)), Outcome{0});
    EXPECT_EQ(test::Of(readv(channel.in, none, 0)), Outcome{0});
    EXPECT_EQ(test::Of(writev(channel.out, none, 2)), Outcome{0});
  });
  EXPECT_EQ(poll(std::vector<pollfd>{{channel.in, POLLIN, 0}}.data(), 1, 0), 0);  // not even an empty datagram
}

TEST_P(Stream, BadArguments) {
  Channel channel(GetParam());
  channel.Put();
  char byte;
  char* const nowhere = nullptr;
  std::vector<iovec> many(1100, iovec{&byte, 0});
  volatile int negative = -1;
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(read(channel.in, nowhere + 1, 1)), (Outcome{-1, EFAULT}));
    if (KeepsBoundaries() || GetParam() == Kind::kPty) channel.Put();  // that one is gone
    EXPECT_EQ(test::Of(write(channel.out, nowhere + 1, 1)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(test::Of(readv(channel.in, reinterpret_cast<iovec*>(nowhere + 8), 1)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(test::Of(writev(channel.out, reinterpret_cast<iovec*>(nowhere + 8), 2)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(test::Of(writev(channel.out, many.data(), 1100)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(writev(channel.out, many.data(), negative)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(readv(channel.in, many.data(), negative)), (Outcome{-1, EINVAL}));
  });
  channel.Get();
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(readv(channel.in, many.data(), 1100)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(read(-1, &byte, 1)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(write(1 << 30, &byte, 1)), (Outcome{-1, EBADF}));
    if (!IsSocket()) {
      EXPECT_EQ(test::Of(recv(channel.in, &byte, 1, 0)), (Outcome{-1, ENOTSOCK}));
      EXPECT_EQ(test::Of(send(channel.out, &byte, 1, 0)), (Outcome{-1, ENOTSOCK}));
      EXPECT_EQ(test::Of(accept(channel.in, nullptr, nullptr)), (Outcome{-1, ENOTSOCK}));
    }
  });
  const int closed = dup(channel.in);
  close(closed);
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(read(closed, &byte, 1)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(write(closed, &byte, 1)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(recv(closed, &byte, 1, 0)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(close(closed)), (Outcome{-1, EBADF}));
  });
}

TEST_P(Stream, WriteToNobody) {
  if (GetParam() == Kind::kUdp || GetParam() == Kind::kPty) return;
  const test::Kind kind = GetParam();
  signal(SIGPIPE, SIG_IGN);
  test::HereAndInAThread([&] {
    Channel channel(kind);
    if (kind == Kind::kTcp) {
      // Closed with data unread, a connection is reset.
      EXPECT_EQ(write(channel.out, "x", 1), 1);
      channel.CloseIn();
      char byte;
      EXPECT_EQ(test::Of(read(channel.out, &byte, 1)), (Outcome{-1, ECONNRESET}));
      EXPECT_EQ(test::Of(write(channel.out, "x", 1)), (Outcome{-1, EPIPE}));
    } else {
      channel.CloseIn();
      const int error = kind == Kind::kUnixDatagram ? ECONNREFUSED : EPIPE;
      EXPECT_EQ(test::Of(write(channel.out, "x", 1)), (Outcome{-1, error}));
    }
  });
}

TEST_P(Stream, WritersLearnThatTheReaderIsGone) {
  if (GetParam() == Kind::kUdp || GetParam() == Kind::kPty || GetParam() == Kind::kUnixDatagram) return;
  signal(SIGPIPE, SIG_IGN);
  Channel channel(GetParam());
  test::FillUp(channel);
  Caller writer([&] { return write(channel.out, "x", 1); });
  test::LetThemWait();
  EXPECT_FALSE(writer.done());
  channel.CloseIn();
  const bool reset = GetParam() == Kind::kTcp || GetParam() == Kind::kUnixStream || GetParam() == Kind::kUnixPacket;
  const Outcome outcome = writer.Wait();
  EXPECT_EQ(outcome.result, -1);
  EXPECT_TRUE(outcome.error == EPIPE || (reset && outcome.error == ECONNRESET)) << outcome.error;
}

}  // namespace
