// SPDX-License-Identifier: Apache-2.0
// Tests what only sockets do: flags, time-outs, messages, ends and errors, and the fortified names.
#include <netinet/udp.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "signals.h"
#include "sockets.h"

extern "C" {
ssize_t __read_chk(int fd, void* buf, size_t size, size_t room);
ssize_t __recv_chk(int fd, void* buf, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void* buf, size_t size, size_t room, int flags, sockaddr* from, socklen_t* from_size);
int __poll_chk(pollfd* fds, nfds_t count, int timeout, size_t room);
}

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Thread;

constexpr Kind kSockets[] = {Kind::kTcp, Kind::kUdp, Kind::kUnixStream, Kind::kUnixDatagram, Kind::kUnixPacket};

struct Message {
  explicit Message(std::string content) : text(std::move(content)) {
    iov = {text.data(), text.size()};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
  }
  Message(const Message&) = delete;
  std::string text;
  iovec iov;
  msghdr header = {};
};

TEST(Socket, PeekLeavesTheData) {
  for (const Kind kind : kSockets) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    char byte = 0;
    Caller peeker([&] { return recv(channel.in, &byte, 1, MSG_PEEK); });
    test::LetThemWait();
    channel.Put('p');
    EXPECT_EQ(peeker.Wait(), Outcome{1});
    EXPECT_EQ(byte, 'p');
    EXPECT_EQ(channel.Get(), 'p');
    test::HereAndInAThread([&] {
      EXPECT_EQ(test::Of(recv(channel.in, &byte, 1, MSG_PEEK | MSG_DONTWAIT)), (Outcome{-1, EAGAIN}));
    });
  }
}

TEST(Socket, DontwaitDoesNotWait) {
  for (const Kind kind : kSockets) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    char byte;
    Message message("m");
    mmsghdr several[2] = {};
    several[0].msg_hdr = several[1].msg_hdr = message.header;
    test::HereAndInAThread([&] {
      EXPECT_EQ(test::Of(recv(channel.in, &byte, 1, MSG_DONTWAIT)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(recvfrom(channel.in, &byte, 1, MSG_DONTWAIT, nullptr, nullptr)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(recvmsg(channel.in, &message.header, MSG_DONTWAIT)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(recvmmsg(channel.in, several, 2, MSG_DONTWAIT, nullptr)), (Outcome{-1, EAGAIN}));
      channel.Put();
      EXPECT_EQ(test::Of(recvmmsg(channel.in, several, 2, MSG_DONTWAIT, nullptr)), Outcome{1});
    });
    if (kind == Kind::kUdp) continue;
    test::FillUp(channel.out);
    test::HereAndInAThread([&] {
      EXPECT_EQ(test::Of(send(channel.out, "x", 1, MSG_DONTWAIT)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(sendmsg(channel.out, &message.header, MSG_DONTWAIT)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(sendmmsg(channel.out, several, 2, MSG_DONTWAIT)), (Outcome{-1, EAGAIN}));
    });
  }
}

TEST(Socket, NonblockingFromBirth) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
  char byte;
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(read(ends[0], &byte, 1)), (Outcome{-1, EAGAIN})); });
  close(ends[0]);
  close(ends[1]);
  const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(recv(udp, &byte, 1, 0)), (Outcome{-1, EAGAIN})); });
  close(udp);
}

TEST(Socket, WaitallWaitsForAll) {
  for (const Kind kind : {Kind::kTcp, Kind::kUnixStream}) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    char data[6] = {};
    Caller receiver([&] { return recv(channel.in, data, 5, MSG_WAITALL); });
    for (const char byte : {'1', '2', '3', '4'}) {
      test::LetThemWait();
      channel.Put(byte);
    }
    test::LetThemWait();
    EXPECT_FALSE(receiver.done());
    channel.Put('5');
    EXPECT_EQ(receiver.Wait(), Outcome{5});
    EXPECT_STREQ(data, "12345");
    Message message("......");
    Caller second([&] { return recvmsg(channel.in, &message.header, MSG_WAITALL); });
    for (const char byte : {'a', 'b'}) {
      test::LetThemWait();
      channel.Put(byte);
    }
    channel.CloseOut();
    EXPECT_EQ(second.Wait(), Outcome{2});
    EXPECT_EQ(message.text, "ab....");
  }
  Channel packets(Kind::kUnixDatagram);
  char data[4];
  Caller receiver([&] { return recv(packets.in, data, 4, MSG_WAITALL); });
  test::LetThemWait();
  packets.Put();
  EXPECT_EQ(receiver.Wait(), Outcome{1});
}

TEST(Socket, TimeoutsEndTheWait) {
  for (const Kind kind : kSockets) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    char byte;
    auto times_out = [&] {
      Message message("m");
      EXPECT_EQ(test::Of(recv(channel.in, &byte, 1, 0)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(read(channel.in, &byte, 1)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(readv(channel.in, &message.iov, 1)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(recvmsg(channel.in, &message.header, 0)), (Outcome{-1, EAGAIN}));
    };
    auto waits = [&] {
      Caller reader([&] { return recv(channel.in, &byte, 1, 0); });
      test::LetThemWait();
      EXPECT_FALSE(reader.done());
      channel.Put();
      EXPECT_EQ(reader.Wait(), Outcome{1});
    };
    waits();
    test::SetTimeout(channel.in, SO_RCVTIMEO, 10);
    test::HereAndInAThread(times_out);
    test::SetTimeout(channel.in, SO_RCVTIMEO, 0);
    waits();
    const int other = dup(channel.in);
    test::SetTimeout(other, SO_RCVTIMEO, 10);
    close(other);
    test::HereAndInAThread(times_out);
    if (kind == Kind::kUdp || kind == Kind::kTcp) continue;  // room is made at any time
    test::SetTimeout(channel.out, SO_SNDTIMEO, 10);
    test::FillUp(channel.out);
    test::HereAndInAThread([&] {
      Message message("m");
      EXPECT_EQ(test::Of(send(channel.out, "x", 1, 0)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(write(channel.out, "x", 1)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(writev(channel.out, &message.iov, 1)), (Outcome{-1, EAGAIN}));
      EXPECT_EQ(test::Of(sendmsg(channel.out, &message.header, 0)), (Outcome{-1, EAGAIN}));
    });
  }
}

TEST(Socket, TimeoutsEndTransfersInTheMiddle) {
  Channel channel(Kind::kUnixStream);
  test::SetTimeout(channel.in, SO_RCVTIMEO, 20);
  test::SetTimeout(channel.out, SO_SNDTIMEO, 20);
  channel.Put('1');
  channel.Put('2');
  char data[5];
  std::vector<char> much(8 << 20);
  test::InThread([&] {
    EXPECT_EQ(test::Of(recv(channel.in, data, 5, MSG_WAITALL)), Outcome{2});
    const ssize_t n = send(channel.out, much.data(), much.size(), 0);
    EXPECT_GT(n, 0);
    EXPECT_LT(n, static_cast<ssize_t>(much.size()));
    return 0;
  });
  const int listener = test::Listener();
  test::SetTimeout(listener, SO_RCVTIMEO, 10);
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(accept(listener, nullptr, nullptr)), (Outcome{-1, EAGAIN})); });
  close(listener);
}

TEST(Socket, SeveralMessagesAtOnce) {
  for (const Kind kind : {Kind::kUdp, Kind::kUnixDatagram, Kind::kUnixPacket}) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    Message a("..."), b("..."), c("...");
    mmsghdr in[3] = {{a.header, 0}, {b.header, 0}, {c.header, 0}};
    Caller receiver([&] { return recvmmsg(channel.in, in, 3, 0, nullptr); });
    test::LetThemWait();
    Message one("1"), two("22"), three("333");
    mmsghdr out[2] = {{one.header, 0}, {two.header, 0}};
    EXPECT_EQ(sendmmsg(channel.out, out, 2, 0), 2);
    EXPECT_EQ(out[1].msg_len, 2u);
    test::LetThemWait();
    EXPECT_FALSE(receiver.done());
    EXPECT_EQ(sendmsg(channel.out, &three.header, 0), 3);
    EXPECT_EQ(receiver.Wait(), Outcome{3});
    EXPECT_EQ(in[2].msg_len, 3u);
    EXPECT_EQ(a.text + b.text + c.text, "1..22.333");
    Caller first([&] { return recvmmsg(channel.in, in, 3, MSG_WAITFORONE, nullptr); });
    test::LetThemWait();
    channel.Put();
    EXPECT_EQ(first.Wait(), Outcome{1});
    timespec soon = test::Ms(10);
    channel.Put();
    test::InThread([&] {
      // The time counts only when a message comes.
      EXPECT_EQ(test::Of(recvmmsg(channel.in, in, 1, 0, &soon)), Outcome{1});
      return 0;
    });
  }
}

TEST(Socket, SeveralMessagesOnAStreamArriveWhole) {
  Channel channel(Kind::kUnixStream);
  constexpr size_t kSize = 1 << 20;
  Message a(std::string(kSize, 'a')), b(std::string(kSize, 'b')), c("c");
  mmsghdr out[3] = {{a.header, 0}, {b.header, 0}, {c.header, 0}};
  Caller sender([&] { return sendmmsg(channel.out, out, 3, 0); });
  std::string got(2 * kSize + 1, '.');
  for (size_t at = 0; at < got.size();) {
    const ssize_t n = recv(channel.in, &got[at], std::min<size_t>(got.size() - at, 10'000), 0);
    ASSERT_GT(n, 0);
    at += static_cast<size_t>(n);
  }
  EXPECT_EQ(sender.Wait(), Outcome{3});
  EXPECT_EQ(out[1].msg_len, kSize);
  EXPECT_TRUE(got == a.text + b.text + c.text);
}

TEST(Socket, ShutdownWakesReceivers) {
  for (const Kind kind : kSockets) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    char byte;
    std::vector<std::unique_ptr<Caller>> receivers;
    Message message("m");
    receivers.push_back(std::make_unique<Caller>([&] { return recv(channel.in, &byte, 1, 0); }));
    receivers.push_back(std::make_unique<Caller>([&] { return read(channel.in, &byte, 1); }));
    receivers.push_back(std::make_unique<Caller>([&] { return recvmsg(channel.in, &message.header, 0); }));
    test::LetThemWait();
    EXPECT_EQ(shutdown(channel.in, SHUT_RD), 0);
    for (auto& receiver : receivers) EXPECT_EQ(receiver->Wait(), Outcome{0});
    test::HereAndInAThread([&] { EXPECT_EQ(test::Of(recv(channel.in, &byte, 1, 0)), Outcome{0}); });
  }
}

TEST(Socket, ShutdownWakesSenders) {
  signal(SIGPIPE, SIG_IGN);
  for (const Kind kind : {Kind::kTcp, Kind::kUnixStream, Kind::kUnixDatagram, Kind::kUnixPacket}) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    test::FillUp(channel.out);
    Caller sender([&] { return send(channel.out, "x", 1, 0); });
    test::LetThemWait();
    EXPECT_EQ(shutdown(channel.out, SHUT_WR), 0);
    EXPECT_EQ(sender.Wait(), (Outcome{-1, EPIPE}));
  }
}

using SocketSignal = test::Signal;

TEST_F(SocketSignal, SigpipeIsOncePerFailedCall) {
  test::Handler handler(SIGPIPE, test::Count);
  test::HereAndInAThread([&] {
    test::handled = 0;
    test::handled_here = 0;
    Channel channel(Kind::kUnixStream);
    channel.CloseIn();
    EXPECT_EQ(test::Of(send(channel.out, "x", 1, MSG_NOSIGNAL)), (Outcome{-1, EPIPE}));
    EXPECT_EQ(test::handled, 0);
    EXPECT_EQ(test::Of(send(channel.out, "x", 1, 0)), (Outcome{-1, EPIPE}));
    EXPECT_EQ(test::handled, 1);
    EXPECT_EQ(test::Of(write(channel.out, "x", 1)), (Outcome{-1, EPIPE}));
    EXPECT_EQ(test::handled_here, 2);
  });
}

TEST_F(SocketSignal, AnEndInTheMiddleIsTheNextCalls) {
  test::Handler handler(SIGPIPE, test::Count);
  for (const bool vector : {false, true}) {
    Channel channel(Kind::kUnixStream);
    std::vector<char> much(8 << 20);
    iovec iov = {much.data(), much.size()};
    Caller sender(
        [&] { return vector ? writev(channel.out, &iov, 1) : send(channel.out, much.data(), much.size(), 0); });
    test::LetThemWait();
    EXPECT_FALSE(sender.done());
    channel.CloseIn();
    EXPECT_GT(sender.Wait().result, 0);
    EXPECT_EQ(test::handled, 0);
  }
}

TEST(Socket, ADatagramWaitsForTheRoomOfItsPeer) {
  // The sender's own socket has room: what it waits for is the receiver's queue.
  int ends[2];
  for (int& end : ends) ASSERT_NE(end = socket(AF_UNIX, SOCK_DGRAM, 0), -1);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "socket_test.%d", getpid());
  const auto* to = reinterpret_cast<const sockaddr*>(&name);
  ASSERT_EQ(bind(ends[0], to, sizeof name), 0);
  int queued = 0;
  while (sendto(ends[1], "x", 1, MSG_DONTWAIT, to, sizeof name) == 1) ++queued;
  EXPECT_EQ(errno, EAGAIN);
  Caller sender([&] { return sendto(ends[1], "y", 1, 0, to, sizeof name); });
  test::LetThemWait();
  EXPECT_FALSE(sender.done());
  char byte;
  for (int i = 0; i < queued; ++i) EXPECT_EQ(recv(ends[0], &byte, 1, 0), 1);
  EXPECT_EQ(sender.Wait(), Outcome{1});
  EXPECT_EQ(recv(ends[0], &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'y');
  for (const int end : ends) close(end);
}

TEST(Socket, WhatIsThereOrNotDoesNotWait) {
  Channel udp(Kind::kUdp), tcp(Kind::kTcp);
  // Receives that wait, first, as the expectation that there is nothing must not make these wait.
  for (int i = 0; i < 5; ++i) {
    for (Channel* channel : {&udp, &tcp}) {
      char byte;
      Caller receiver([&] { return recv(channel->in, &byte, 1, 0); });
      test::LetThemWait();
      channel->Put();
      receiver.Wait();
    }
  }
  Message message("m");
  char byte;
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(recvmsg(udp.in, &message.header, MSG_ERRQUEUE)), (Outcome{-1, EAGAIN}));
    EXPECT_EQ(test::Of(recv(tcp.in, &byte, 1, MSG_OOB)), (Outcome{-1, EINVAL}));
  });
}

TEST(Socket, ErrorsOfPeersArrive) {
  Channel udp(Kind::kUdp);
  char byte;
  Caller receiver([&] { return recv(udp.out, &byte, 1, 0); });
  test::LetThemWait();
  udp.CloseIn();
  EXPECT_EQ(send(udp.out, "x", 1, 0), 1);
  EXPECT_EQ(receiver.Wait(), (Outcome{-1, ECONNREFUSED}));
  Channel tcp(Kind::kTcp);
  Caller reader([&] { return recv(tcp.out, &byte, 1, 0); });
  test::LetThemWait();
  tcp.Put();
  tcp.CloseIn();
  EXPECT_EQ(reader.Wait(), (Outcome{-1, ECONNRESET}));
}

TEST(Socket, BadMessages) {
  Channel channel(Kind::kUnixStream);
  char* const nowhere = nullptr;
  auto* header = reinterpret_cast<msghdr*>(nowhere + 8);
  auto* headers = reinterpret_cast<mmsghdr*>(nowhere + 8);
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(sendmsg(channel.out, header, 0)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(test::Of(recvmsg(channel.in, header, 0)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(test::Of(sendmmsg(channel.out, headers, 1, 0)), (Outcome{-1, EFAULT}));
    EXPECT_EQ(test::Of(sendmmsg(channel.out, nullptr, 0, 0)), Outcome{0});
    EXPECT_EQ(test::Of(sendto(channel.out, nowhere + 1, 1, 0, nullptr, 0)), (Outcome{-1, EFAULT}));
  });
}

TEST(Socket, FortifiedNames) {
  Channel channel(Kind::kUnixStream);
  char byte = 0;
  const std::function<ssize_t()> calls[] = {
      [&] { return __read_chk(channel.in, &byte, 1, 1); },
      [&] { return __recv_chk(channel.in, &byte, 1, 1, 0); },
      [&] { return __recvfrom_chk(channel.in, &byte, 1, 1, 0, nullptr, nullptr); },
      [&] {
        pollfd fd = {channel.in, POLLIN, 0};
        EXPECT_EQ(__poll_chk(&fd, 1, -1, sizeof fd), 1);
        return read(channel.in, &byte, 1);
      },
  };
  for (const auto& call : calls) {
    Caller caller(call);
    test::LetThemWait();
    EXPECT_FALSE(caller.done());
    channel.Put('f');
    EXPECT_EQ(caller.Wait(), Outcome{1});
    EXPECT_EQ(byte, 'f');
  }
  EXPECT_TRUE(
      test::Killed(test::RunChild([&] { return static_cast<int>(__read_chk(channel.in, &byte, 2, 1)); }), SIGABRT));
}

}  // namespace
