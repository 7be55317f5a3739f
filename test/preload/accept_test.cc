// SPDX-License-Identifier: Apache-2.0
// Tests accept and connect.
#include <sys/epoll.h>

#include <algorithm>

#include "sockets.h"

namespace {

using test::Address;
using test::Caller;
using test::Outcome;
using test::Thread;

struct UnixName {
  UnixName() {
    static int next = 0;
    name.sun_family = AF_UNIX;
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "accept_test.%d.%d", getpid(), next++);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
  sockaddr_un name = {};
};

TEST(Accept, ManyThreadsServeEachConnectionOnce) {
  constexpr int kServers = 20, kClients = 10, kConnections = 40;
  const int listener = test::Listener(1024);
  std::atomic<int> served[kClients * kConnections] = {};
  std::vector<Thread> threads;
  for (int s = 0; s < kServers; ++s) {
    threads.emplace_back([&] {
      for (;;) {
        const int socket = accept(listener, nullptr, nullptr);
        if (socket == -1) return nullptr;
        int number = -1;
        EXPECT_EQ(recv(socket, &number, sizeof number, MSG_WAITALL), static_cast<ssize_t>(sizeof number));
        if (number >= 0 && number < kClients * kConnections) ++served[number];
        EXPECT_EQ(send(socket, &number, sizeof number, 0), static_cast<ssize_t>(sizeof number));
        close(socket);
      }
    });
  }
  std::vector<Thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < kConnections; ++i) {
        const int socket = test::ConnectTo(listener);
        const int number = c * kConnections + i;
        EXPECT_EQ(send(socket, &number, sizeof number, 0), static_cast<ssize_t>(sizeof number));
        int answer = -1;
        EXPECT_EQ(recv(socket, &answer, sizeof answer, MSG_WAITALL), static_cast<ssize_t>(sizeof answer));
        EXPECT_EQ(answer, number);
        close(socket);
      }
      return nullptr;
    });
  }
  clients.clear();
  EXPECT_EQ(shutdown(listener, SHUT_RD), 0);
  threads.clear();
  for (const auto& times : served) EXPECT_EQ(times, 1);
  close(listener);
}

TEST(Accept, ShutdownEndsAllWaits) {
  const int listener = test::Listener();
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 10; ++i) {
    callers.push_back(std::make_unique<Caller>([&] { return accept(listener, nullptr, nullptr); }));
  }
  test::LetThemWait();
  EXPECT_EQ(shutdown(listener, SHUT_RD), 0);
  for (auto& caller : callers) EXPECT_EQ(caller->Wait(), (Outcome{-1, EINVAL}));
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(accept(listener, nullptr, nullptr)), (Outcome{-1, EINVAL})); });
  close(listener);
}

TEST(Accept, AClosedListenerServesThoseWhoWait) {
  const int listener = test::Listener();
  Address address = test::AddressOf(listener);
  std::atomic<int> accepted = -1;
  Thread server([&] {
    accepted = accept(listener, nullptr, nullptr);
    return nullptr;
  });
  test::LetThemWait();
  EXPECT_EQ(close(listener), 0);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(connect(client, address.get(), address.size), 0);
  server.Join();
  EXPECT_NE(accepted, -1);
  close(accepted);
  close(client);
}

TEST(Accept, SaysWhoConnected) {
  const int listener = test::Listener();
  for (const bool four : {false, true}) {
    Address peer = {};
    std::atomic<int> got = -1;
    Thread server([&] {
      got = four ? accept4(listener, peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC)
                 : accept(listener, peer.get(), &peer.size);
      return nullptr;
    });
    test::LetThemWait();
    const int client = test::ConnectTo(listener);
    server.Join();
    EXPECT_EQ(peer.size, sizeof peer.in);
    EXPECT_EQ(peer.in.sin_port, test::AddressOf(client).in.sin_port);
    EXPECT_EQ(test::IsNonblocking(got), four);
    EXPECT_EQ(fcntl(got, F_GETFD), four ? FD_CLOEXEC : 0);
    char byte;
    if (four) {
      test::HereAndInAThread([&] { EXPECT_EQ(test::Of(read(got, &byte, 1)), (Outcome{-1, EAGAIN})); });
    }
    close(client);
    close(got);
  }
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(accept4(listener, nullptr, nullptr, ~0)), (Outcome{-1, EINVAL}));
    const int unbound = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(test::Of(accept(unbound, nullptr, nullptr)), (Outcome{-1, EINVAL}));
    const int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT_EQ(test::Of(accept(datagrams, nullptr, nullptr)), (Outcome{-1, EOPNOTSUPP}));
    EXPECT_EQ(test::Of(accept(-1, nullptr, nullptr)), (Outcome{-1, EBADF}));
    close(unbound);
    close(datagrams);
  });
  close(listener);
}

TEST(Accept, NonblockingWhileAnotherThreadPolls) {
  const int listener = test::Listener();
  test::SetNonblocking(listener);
  test::HereAndInAThread([&] { EXPECT_EQ(test::Of(accept(listener, nullptr, nullptr)), (Outcome{-1, EAGAIN})); });
  // Each polls, and then takes all there is: a connection is nobody's until a thread has it.
  constexpr int kServers = 8, kConnections = 200;
  std::atomic<int> served = 0;
  std::vector<Thread> servers;
  for (int s = 0; s < kServers; ++s) {
    servers.emplace_back([&] {
      while (served < kConnections) {
        pollfd fd = {listener, POLLIN, 0};
        if (poll(&fd, 1, 20) != 1) continue;
        for (int got; (got = accept(listener, nullptr, nullptr)) != -1; ++served) close(got);
        EXPECT_EQ(errno, EAGAIN);
      }
      return nullptr;
    });
  }
  for (int i = 0; i < kConnections; ++i) close(test::ConnectTo(listener));
  EXPECT_TRUE(test::Eventually([&] { return served == kConnections; }));
  servers.clear();
  // One polls for something else all the time.
  Caller poller([&] {
    pollfd fd = {listener, POLLPRI, 0};
    return poll(&fd, 1, 300);
  });
  test::LetThemWait();
  const int client = test::ConnectTo(listener);
  int got = -1;
  test::InThread([&] {
    got = accept(listener, nullptr, nullptr);
    return 0;
  });
  EXPECT_NE(got, -1);
  EXPECT_EQ(poller.Wait(), Outcome{0});
  close(got);
  close(client);
  close(listener);
}

TEST(Connect, Refused) {
  const int bound = test::Bound(SOCK_STREAM);
  Address nobody = test::AddressOf(bound);
  test::HereAndInAThread([&] {
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(test::Of(connect(client, nobody.get(), nobody.size)), (Outcome{-1, ECONNREFUSED}));
    close(client);
    UnixName name;
    const int local = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(test::Of(connect(local, name.get(), sizeof name.name)), (Outcome{-1, ECONNREFUSED}));
    EXPECT_EQ(test::Of(connect(-1, nobody.get(), nobody.size)), (Outcome{-1, EBADF}));
    EXPECT_EQ(test::Of(connect(STDIN_FILENO, nobody.get(), nobody.size)), (Outcome{-1, ENOTSOCK}));
    close(local);
  });
  close(bound);
}

TEST(Connect, WaitsForAQueueThatIsFull) {
  UnixName name;
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(listener, name.get(), sizeof name.name), 0);
  ASSERT_EQ(listen(listener, 0), 0);
  std::vector<std::unique_ptr<Caller>> callers;
  std::vector<int> clients;
  constexpr int kClients = 12;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(socket(AF_UNIX, SOCK_STREAM, 0));
    callers.push_back(std::make_unique<Caller>(
        [&name, client = clients.back()] { return connect(client, name.get(), sizeof name.name); }));
  }
  test::LetThemWait();
  const auto done = std::count_if(callers.begin(), callers.end(), [](const auto& caller) { return caller->done(); });
  EXPECT_LT(done, kClients);
  const int impatient = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(connect(impatient, name.get(), sizeof name.name)), (Outcome{-1, EAGAIN}));
  });
  for (int i = 0; i < kClients; ++i) {
    const int got = accept(listener, nullptr, nullptr);
    EXPECT_NE(got, -1);
    close(got);
  }
  for (auto& caller : callers) EXPECT_EQ(caller->Wait(), Outcome{0});
  for (const int client : clients) close(client);
  close(impatient);
  close(listener);
}

TEST(Connect, NonblockingIsInProgress) {
  const int listener = test::Listener();
  Address address = test::AddressOf(listener);
  test::HereAndInAThread([&] {
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const Outcome outcome = test::Of(connect(client, address.get(), address.size));
    EXPECT_EQ(outcome, (Outcome{-1, EINPROGRESS}));
    pollfd fd = {client, POLLOUT, 0};
    EXPECT_EQ(poll(&fd, 1, -1), 1);
    int error = -1;
    socklen_t size = sizeof error;
    EXPECT_EQ(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    EXPECT_EQ(error, 0);
    EXPECT_EQ(test::Of(connect(client, address.get(), address.size)), Outcome{0});
    EXPECT_EQ(test::Of(connect(client, address.get(), address.size)), (Outcome{-1, EISCONN}));
    close(client);
  });
  close(listener);
}

}  // namespace
