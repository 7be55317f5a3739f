// SPDX-License-Identifier: Apache-2.0
// Tests the program's own epoll sets.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "signals.h"
#include "sockets.h"

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Thread;

class Set {
 public:
  ~Set() { close(fd_); }
  void Add(int fd, uint32_t events) { Control(EPOLL_CTL_ADD, fd, events); }
  void Again(int fd, uint32_t events) { Control(EPOLL_CTL_MOD, fd, events); }
  // The number of what was ready first, or -1.
  int Wait(int timeout = -1) {
    epoll_event event = {};
    const int n = epoll_wait(fd_, &event, 1, timeout);
    EXPECT_GE(n, 0) << errno;
    return n == 1 ? event.data.fd : -1;
  }
  int fd() const { return fd_; }

 private:
  void Control(int operation, int fd, uint32_t events) {
    epoll_event event = {};
    event.events = events;
    event.data.fd = fd;
    EXPECT_EQ(epoll_ctl(fd_, operation, fd, &event), 0);
  }
  int fd_ = epoll_create1(EPOLL_CLOEXEC);
};

TEST(Epoll, NowLaterAndNever) {
  for (const Kind kind : {Kind::kTcp, Kind::kUnixDatagram, Kind::kPipe, Kind::kFifo, Kind::kPty}) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    Set set;
    set.Add(channel.in, EPOLLIN);
    test::HereAndInAThread([&] {
      EXPECT_EQ(set.Wait(0), -1);
      EXPECT_EQ(set.Wait(3), -1);
    });
    for (int i = 0; i < 10; ++i) {
      Caller waiter([&] { return set.Wait(); });
      if (i % 2 == 0) test::LetThemWait();
      channel.Put();
      EXPECT_EQ(waiter.Wait(), Outcome{channel.in});
      channel.Get();
    }
  }
}

TEST(Epoll, BadArguments) {
  const volatile int negative = -1;
  Set set;
  Channel channel(Kind::kPipe);
  epoll_event event;
  test::HereAndInAThread([&] {
    EXPECT_EQ(test::Of(epoll_wait(set.fd(), &event, 0, 0)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(epoll_wait(set.fd(), &event, negative, -1)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(epoll_wait(channel.in, &event, 1, -1)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(epoll_wait(-1, &event, 1, -1)), (Outcome{-1, EBADF}));
  });
}

TEST(Epoll, TwentyThreadsInOneSet) {
  Channel channel(Kind::kUnixDatagram);
  Set set;
  set.Add(channel.in, EPOLLIN);
  std::atomic<int> got = 0;
  constexpr int kThreads = 20, kMessages = 400;
  const int stop = eventfd(0, 0);
  set.Add(stop, EPOLLIN);
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      while (set.Wait() != stop || got < kMessages) {
        char byte;
        if (recv(channel.in, &byte, 1, MSG_DONTWAIT) == 1) ++got;
      }
      return nullptr;
    });
  }
  for (int i = 0; i < kMessages; ++i) channel.Put();
  EXPECT_TRUE(test::Eventually([&] { return got == kMessages; }));
  EXPECT_EQ(eventfd_write(stop, 1), 0);
  threads.clear();
  close(stop);
}

TEST(Epoll, TwentyThreadsInSetsOfTheirOwn) {
  constexpr int kThreads = 20, kRounds = 50;
  std::vector<std::unique_ptr<Channel>> channels;
  for (int t = 0; t <= kThreads; ++t) channels.push_back(std::make_unique<Channel>(Kind::kUnixStream));
  std::vector<Thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Set set;
      set.Add(channels[t]->in, EPOLLIN);
      for (int i = 0; i < kRounds; ++i) {
        EXPECT_EQ(set.Wait(), channels[t]->in);
        channels[t + 1]->Put(channels[t]->Get());
      }
      return nullptr;
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    channels[0]->Put(static_cast<char>(i));
    EXPECT_EQ(channels[kThreads]->Get(), i);
  }
}

TEST(Epoll, EdgesAreReportedOnce) {
  for (const Kind kind : {Kind::kUnixStream, Kind::kPipe}) {
    Channel channel(kind);
    Set set;
    set.Add(channel.in, EPOLLIN | EPOLLET);
    // Others wait for the same descriptor meanwhile.
    Caller poller([&] {
      pollfd fd = {channel.in, POLLPRI, 0};
      return poll(&fd, 1, 100);
    });
    for (int i = 0; i < 10; ++i) {
      Caller waiter([&] { return set.Wait(); });
      test::LetThemWait();
      channel.Put();
      EXPECT_EQ(waiter.Wait(), Outcome{channel.in});
      EXPECT_EQ(test::InThread([&] { return set.Wait(2); }), -1);
    }
    EXPECT_EQ(poller.Wait(), Outcome{0});
    for (int i = 0; i < 10; ++i) channel.Get();
  }
}

TEST(Epoll, OneShotsAreReportedToOne) {
  Channel channel(Kind::kUnixStream);
  Set set;
  set.Add(channel.in, EPOLLIN | EPOLLONESHOT);
  constexpr int kThreads = 12, kBytes = 300;
  std::atomic<int> busy = 0, got = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      while (got < kBytes) {
        if (set.Wait(20) == -1) continue;
        EXPECT_EQ(++busy, 1);
        char byte;
        if (recv(channel.in, &byte, 1, MSG_DONTWAIT) == 1) ++got;
        sched_yield();
        --busy;
        set.Again(channel.in, EPOLLIN | EPOLLONESHOT);
      }
      return nullptr;
    });
  }
  for (int i = 0; i < kBytes; ++i) channel.Put();
  threads.clear();
  EXPECT_EQ(got, kBytes);
}

TEST(Epoll, SetsWithinSets) {
  Channel channel(Kind::kTcp);
  Set inner, outer;
  inner.Add(channel.in, EPOLLIN);
  outer.Add(inner.fd(), EPOLLIN);
  Caller waiter([&] { return outer.Wait(); });
  Caller poller([&] {
    pollfd fd = {outer.fd(), POLLIN, 0};
    return poll(&fd, 1, -1);
  });
  Caller selecter([&] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(inner.fd(), &set);
    return select(inner.fd() + 1, &set, nullptr, nullptr, nullptr);
  });
  test::LetThemWait();
  EXPECT_FALSE(waiter.done() || poller.done() || selecter.done());
  channel.Put();
  EXPECT_EQ(waiter.Wait(), Outcome{inner.fd()});
  EXPECT_EQ(poller.Wait(), Outcome{1});
  EXPECT_EQ(selecter.Wait(), Outcome{1});
  EXPECT_EQ(inner.Wait(), channel.in);
}

TEST(Epoll, WhatIsAddedDuringTheWait) {
  for (const int threads : {1, 15}) {
    Set set;
    std::vector<std::unique_ptr<Caller>> waiters;
    for (int i = 0; i < threads; ++i) waiters.push_back(std::make_unique<Caller>([&] { return set.Wait(); }));
    test::LetThemWait();
    Channel channel(Kind::kPipe);
    channel.Put();
    set.Add(channel.in, EPOLLIN);
    for (auto& waiter : waiters) EXPECT_EQ(waiter->Wait(), Outcome{channel.in});
  }
}

TEST(Epoll, AMaskForTheWait) {
  test::Handler handler(SIGUSR1, test::Count, SA_RESTART);
  Set set;
  const sigset_t usr1 = test::Set({SIGUSR1}), none = test::Set({});
  test::HereAndInAThread([&] {
    pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
    test::handled = 0;
    pthread_kill(pthread_self(), SIGUSR1);
    epoll_event event;
    EXPECT_EQ(test::Of(epoll_pwait(set.fd(), &event, 1, -1, &none)), (Outcome{-1, EINTR}));
    EXPECT_EQ(test::handled, 1);
    EXPECT_TRUE(test::IsBlocked(SIGUSR1));
    EXPECT_EQ(test::Of(epoll_pwait(set.fd(), &event, 1, 2, nullptr)), Outcome{0});
    EXPECT_EQ(test::Of(epoll_pwait(set.fd(), &event, 1, 2, &usr1)), Outcome{0});

    test::handled = 0;
    pthread_kill(pthread_self(), SIGUSR1);
    EXPECT_EQ(test::Of(epoll_pwait2(set.fd(), &event, 1, nullptr, &none)), (Outcome{-1, EINTR}));
    EXPECT_EQ(test::handled, 1);
    EXPECT_TRUE(test::IsBlocked(SIGUSR1));
    const timespec soon = {0, 200'000};
    EXPECT_EQ(test::Of(epoll_pwait2(set.fd(), &event, 1, &soon, &usr1)), Outcome{0});
  });
}

TEST(Epoll, Pwait2) {
  Set set;
  Channel channel(Kind::kPipe);
  set.Add(channel.in, EPOLLIN);
  test::HereAndInAThread([&] {
    epoll_event event;
    const timespec none = {0, 0}, soon = {0, 200'000}, wrong = {0, 1'000'000'000};
    EXPECT_EQ(test::Of(epoll_pwait2(set.fd(), &event, 1, &none, nullptr)), Outcome{0});
    EXPECT_EQ(test::Of(epoll_pwait2(set.fd(), &event, 1, &soon, nullptr)), Outcome{0});
    EXPECT_EQ(test::Of(epoll_pwait2(set.fd(), &event, 1, &wrong, nullptr)), (Outcome{-1, EINVAL}));
    EXPECT_EQ(test::Of(epoll_pwait2(-1, &event, 1, nullptr, nullptr)), (Outcome{-1, EBADF}));
  });
  // More than may wait in the kernel at once.
  std::vector<std::unique_ptr<Caller>> waiters;
  for (int i = 0; i < 20; ++i) {
    waiters.push_back(std::make_unique<Caller>([&] {
      epoll_event event;
      return epoll_pwait2(set.fd(), &event, 1, nullptr, nullptr);
    }));
  }
  test::LetThemWait();
  for (const auto& waiter : waiters) EXPECT_FALSE(waiter->done());
  channel.Put();
  for (const auto& waiter : waiters) EXPECT_EQ(waiter->Wait(), Outcome{1});
}

}  // namespace
