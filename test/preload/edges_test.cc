// SPDX-License-Identifier: Apache-2.0
// Tests a TCP connection on which a thread has waited for every message so far: a library may then be told of what
// comes once, and must not be without news of what it left, nor hear of a number that now names another file.
#include <sys/uio.h>

#include "sockets.h"

namespace {

using test::Caller;
using test::Outcome;

// A connection; each end closes when it is no longer needed.
struct Worn {
  // `before_accept` may free the number that the receiving end is to have.
  explicit Worn(const std::function<void()>& before_accept = [] {}) {
    const int listener = test::Listener();
    out = test::ConnectTo(listener);
    before_accept();
    in = accept(listener, nullptr, nullptr);
    EXPECT_NE(in, -1);
    close(listener);
    const int on = 1;
    EXPECT_EQ(setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    Wear(8);
  }
  Worn(const Worn&) = delete;
  ~Worn() {
    if (in != -1) close(in);
    if (out != -1) close(out);
  }
  void CloseIn() { EXPECT_EQ(close(std::exchange(in, -1)), 0); }
  void CloseOut() { EXPECT_EQ(close(std::exchange(out, -1)), 0); }
  void Send(const std::string& text) const {
    EXPECT_EQ(send(out, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }

  int in = -1;
  int out = -1;

 private:
  void Wear(int times) const {
    std::atomic<int> got = 0;
    Caller reader([&] {
      for (char byte; got < times; ++got) EXPECT_EQ(recv(in, &byte, 1, 0), 1);
      return 0;
    });
    for (int i = 0; i < times; ++i) {
      while (got != i) test::LetThemWait();
      test::LetThemWait();
      Send("x");
    }
    reader.Wait();
  }
};

std::string Received(int fd, size_t size, int flags = 0) {
  std::string text(size, '\0');
  const ssize_t got = recv(fd, text.data(), size, flags);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

template <class Body>
void InAThread(Body body) {
  Caller([&] {
    body();
    return 0;
  }).Wait();
}

TEST(Edges, WhatAFullReadLeavesIsThere) {
  Worn channel;
  channel.Send("abcdefg");
  InAThread([&] {
    EXPECT_EQ(Received(channel.in, 3), "abc");
    EXPECT_EQ(Received(channel.in, 3), "def");
    EXPECT_EQ(Received(channel.in, 3), "g");
  });
  Caller next([&] { return read(channel.in, std::string(3, 0).data(), 3); });
  test::LetThemWait();
  EXPECT_FALSE(next.done());
  channel.Send("h");
  EXPECT_EQ(next.Wait(), Outcome{1});
}

TEST(Edges, WhatCameWhileNobodyWaitedIsThere) {
  Worn channel;
  for (const char* text : {"1", "2", "3", "4"}) {
    channel.Send(text);
    test::LetThemWait();  // each is an edge of its own
  }
  InAThread([&] { EXPECT_EQ(Received(channel.in, 64), "1234"); });
  Caller next([&] { return recv(channel.in, std::string(3, 0).data(), 3, 0); });
  test::LetThemWait();
  channel.Send("5");
  EXPECT_EQ(next.Wait(), Outcome{1});
}

TEST(Edges, TheEndBehindAShortReadIsSeen) {
  for (const bool at_once : {true, false}) {
    Worn channel;
    Caller reader([&] {
      EXPECT_EQ(Received(channel.in, 64), "last");
      return read(channel.in, std::string(3, 0).data(), 3);
    });
    test::LetThemWait();
    channel.Send("last");
    if (!at_once) test::LetThemWait();
    EXPECT_EQ(shutdown(channel.out, SHUT_WR), 0);
    EXPECT_EQ(reader.Wait(), Outcome{0});
    InAThread([&] { EXPECT_EQ(Received(channel.in, 64), ""); });
  }
}

TEST(Edges, TheEndWithDataBeforeTheReadIsSeen) {
  Worn channel;
  channel.Send("last");
  channel.CloseOut();
  test::LetThemWait();
  InAThread([&] {
    EXPECT_EQ(Received(channel.in, 64), "last");
    EXPECT_EQ(Received(channel.in, 64), "");
    EXPECT_EQ(Received(channel.in, 64), "");
  });
}

TEST(Edges, WaitallEndsWithTheStream) {
  Worn channel;
  char bytes[10];
  Caller reader([&] { return recv(channel.in, bytes, sizeof bytes, MSG_WAITALL); });
  test::LetThemWait();
  channel.Send("four");
  channel.CloseOut();
  EXPECT_EQ(reader.Wait(), Outcome{4});
}

TEST(Edges, AResetIsSeen) {
  Worn channel;
  Caller reader([&] { return recv(channel.in, std::string(3, 0).data(), 3, 0); });
  test::LetThemWait();
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  EXPECT_EQ(setsockopt(channel.out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  channel.CloseOut();
  EXPECT_EQ(reader.Wait(), (Outcome{-1, ECONNRESET}));
}

TEST(Edges, WhatIsBehindUrgentDataIsThere) {
  for (const bool waited_for : {false, true}) {
    Worn channel;
    auto read_all = [&] {
      EXPECT_EQ(Received(channel.in, 64), "before");
      EXPECT_EQ(Received(channel.in, 64), "behind");
      return 0;
    };
    auto send_all = [&] {
      channel.Send("before");
      EXPECT_EQ(send(channel.out, "!", 1, MSG_OOB), 1);
      channel.Send("behind");
      test::LetThemWait();
    };
    if (!waited_for) send_all();
    Caller reader(read_all);
    test::LetThemWait();
    if (waited_for) send_all();
    reader.Wait();
  }
}

TEST(Edges, APeekLeavesItForTheNext) {
  Worn channel;
  Caller peeker([&] { return recv(channel.in, std::string(64, 0).data(), 64, MSG_PEEK); });
  test::LetThemWait();
  channel.Send("seen");
  EXPECT_EQ(peeker.Wait(), Outcome{4});
  InAThread([&] {
    EXPECT_EQ(Received(channel.in, 64, MSG_PEEK), "seen");
    EXPECT_EQ(Received(channel.in, 64), "seen");
  });
}

TEST(Edges, EveryCallThatReceives) {
  Worn channel;
  char bytes[64];
  iovec parts[2] = {{bytes, 2}, {bytes + 2, 2}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  mmsghdr several[2] = {};
  several[0].msg_hdr = several[1].msg_hdr = message;
  const std::vector<std::function<ssize_t()>> calls = {
      [&] { return read(channel.in, bytes, 4); },
      [&] { return readv(channel.in, parts, 2); },
      [&] { return recvmsg(channel.in, &message, 0); },
      [&] { return recvfrom(channel.in, bytes, 4, 0, nullptr, nullptr); },
      [&] { return recvmmsg(channel.in, several, 2, MSG_WAITFORONE, nullptr) == 1 ? several[0].msg_len : -1; },
      [&] {
        pollfd fd = {channel.in, POLLIN, 0};
        return poll(&fd, 1, -1) == 1 ? recv(channel.in, bytes, 4, MSG_DONTWAIT) : -1;
      },
  };
  for (size_t i = 0; i < 3 * calls.size(); ++i) {
    SCOPED_TRACE(i);
    Caller caller(calls[i % calls.size()]);
    test::LetThemWait();
    EXPECT_FALSE(caller.done());
    channel.Send(i % 2 == 0 ? "full" : "sho");
    EXPECT_EQ(caller.Wait(), Outcome{i % 2 == 0 ? 4 : 3});
  }
}

TEST(Edges, ManyMayWaitForOneConnection) {
  Worn channel;
  constexpr int kReaders = 6;
  std::atomic<int> got = 0;
  std::vector<std::unique_ptr<Caller>> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<Caller>([&] {
      for (std::string text; !(text = Received(channel.in, 2)).empty();) got += static_cast<int>(text.size());
      return 0;
    }));
    if (i == 0) test::LetThemWait();
  }
  for (int i = 0; i < 20; ++i) {
    channel.Send("12345");
    EXPECT_TRUE(test::Eventually([&] { return got == 5 * (i + 1); })) << got;
    test::LetThemWait();  // all of them, again
  }
  channel.CloseOut();
  for (auto& reader : readers) EXPECT_EQ(reader->Wait(), Outcome{0});
}

TEST(Edges, ATimeoutAndThenData) {
  Worn channel;
  test::SetTimeout(channel.in, SO_RCVTIMEO, 20);
  InAThread([&] {
    EXPECT_EQ(test::Of(recv(channel.in, std::string(3, 0).data(), 3, 0)), (Outcome{-1, EAGAIN}));
    channel.Send("now");
    EXPECT_EQ(Received(channel.in, 64), "now");
    EXPECT_EQ(test::Of(recv(channel.in, std::string(3, 0).data(), 3, 0)), (Outcome{-1, EAGAIN}));
  });
}

TEST(Edges, BothDirections) {
  Worn channel;
  const size_t room = test::FillUp(channel.in);
  Caller reader([&] { return recv(channel.in, std::string(8, 0).data(), 8, 0); });
  test::LetThemWait();
  Caller writer([&] { return send(channel.in, "w", 1, 0); });
  test::LetThemWait();
  EXPECT_FALSE(writer.done());
  channel.Send("r");
  EXPECT_EQ(reader.Wait(), Outcome{1});
  size_t taken = 0;
  InAThread([&] {
    while (taken < room) taken += Received(channel.out, 1 << 16).size();
  });
  EXPECT_EQ(writer.Wait(), Outcome{1});
}

TEST(Edges, TheNumberOfAClosedConnectionServesAnother) {
  Worn first;
  const int number = first.in;
  const int other_name = dup(first.in);
  Worn second([&] { first.CloseIn(); });
  EXPECT_EQ(second.in, number);
  Caller reader([&] { return recv(second.in, std::string(8, 0).data(), 8, 0); });
  test::LetThemWait();
  first.Send("elsewhere");
  test::LetThemWait();
  EXPECT_FALSE(reader.done());
  second.Send("here");
  EXPECT_EQ(reader.Wait(), Outcome{4});
  InAThread([&] { EXPECT_EQ(Received(other_name, 64), "elsewhere"); });
  close(other_name);
}

TEST(Edges, AWaitGoesOnWithAFileWhoseNumberIsClosed) {
  Worn channel;
  Caller reader([&] { return recv(channel.in, std::string(8, 0).data(), 8, 0); });
  test::LetThemWait();
  Worn next([&] { channel.CloseIn(); });
  next.Send("n");
  test::LetThemWait();
  EXPECT_FALSE(reader.done());
  channel.Send("old");
  EXPECT_EQ(reader.Wait(), Outcome{3});
  InAThread([&] { EXPECT_EQ(Received(next.in, 8), "n"); });
}

// fclose() closes inside libc.
TEST(Edges, TheNumberOfAStreamThatWasClosedServesAnother) {
  Worn first;
  const int number = std::exchange(first.in, -1);
  FILE* stream = fdopen(number, "r+");
  ASSERT_NE(stream, nullptr);
  Worn second([&] { fclose(stream); });
  EXPECT_EQ(second.in, number);
  Caller reader([&] { return recv(second.in, std::string(8, 0).data(), 8, 0); });
  test::LetThemWait();
  second.Send("here");
  EXPECT_EQ(reader.Wait(), Outcome{4});
}

}  // namespace
