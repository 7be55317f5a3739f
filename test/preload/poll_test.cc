// SPDX-License-Identifier: Apache-2.0
// Tests poll and select: what is ready, when, for whom.
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "signals.h"
#include "sockets.h"

namespace {

using test::Caller;
using test::Channel;
using test::Kind;
using test::Outcome;
using test::Thread;

constexpr Kind kKinds[] = {Kind::kTcp,        Kind::kUdp,  Kind::kUnixStream, Kind::kUnixDatagram,
                           Kind::kUnixPacket, Kind::kPipe, Kind::kFifo,       Kind::kPty};

short Ready(int fd, short events, int timeout = -1) {
  pollfd p = {fd, events, 0x55};
  const int n = poll(&p, 1, timeout);
  EXPECT_EQ(n, p.revents != 0);
  EXPECT_EQ(p.events, events);
  return p.revents;
}

TEST(Poll, NowLaterAndNever) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    test::HereAndInAThread([&] {
      EXPECT_EQ(Ready(channel.in, POLLIN, 0), 0);
      EXPECT_EQ(Ready(channel.in, POLLIN, 5), 0);
      EXPECT_EQ(Ready(channel.out, POLLOUT), POLLOUT);
      EXPECT_EQ(Ready(channel.out, POLLOUT | POLLWRNORM) & POLLOUT, POLLOUT);
    });
    Caller poller([&] { return Ready(channel.in, POLLIN | POLLRDNORM); });
    test::LetThemWait();
    EXPECT_FALSE(poller.done());
    channel.Put();
    EXPECT_EQ(poller.Wait(), Outcome{POLLIN | POLLRDNORM});
    EXPECT_EQ(channel.Get(), 'x');
    EXPECT_EQ(test::InThread([&] { return Ready(channel.in, POLLIN, 1); }), 0);
  }
}

// A signal that another thread is sent while a look that does not wait is under way is none of the looker's business.
TEST(Poll, SignalsOfOthersEndNoLook) {
  Channel channel(Kind::kPipe);
  test::Handler handler(SIGUSR1, [](int) {});
  std::atomic<bool> over = false;
  std::atomic<int> wrong = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 2; ++i)
    threads.push_back(std::make_unique<Thread>([&] {
      while (!over) sched_yield();
      return nullptr;
    }));
  Thread looker([&] {
    for (int i = 0; i < 20'000; ++i) {
      wrong += Ready(channel.in, POLLIN, 0) != 0;
      fd_set set;
      FD_ZERO(&set);
      FD_SET(channel.in, &set);
      timeval none = {};
      wrong += select(channel.in + 1, &set, nullptr, nullptr, &none) != 0;
      sched_yield();
    }
    over = true;
    return nullptr;
  });
  while (!over)
    for (const auto& thread : threads) {
      pthread_kill(thread->id(), SIGUSR1);
      usleep(20);
    }
  looker.Join();
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

TEST(Poll, HangUps) {
  for (const Kind kind : kKinds) {
    if (kind == Kind::kUdp || kind == Kind::kUnixDatagram) continue;
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    for (const short events : {short{0}, short{POLLIN}, short{POLLIN | POLLRDHUP}}) {
      Channel other(kind);
      Caller poller([&] { return Ready(other.in, events, events == 0 ? 200 : -1); });
      Caller two([&] {
        pollfd fds[2] = {{channel.in, POLLIN, 0}, {other.in, events, 0}};
        poll(fds, 2, events == 0 ? 200 : -1);
        return fds[1].revents;
      });
      test::LetThemWait();
      other.CloseOut();
      const short expected = test::InThread([&] { return Ready(other.in, events, 0); });
      EXPECT_EQ(poller.Wait(), Outcome{expected});
      EXPECT_EQ(two.Wait(), Outcome{expected});
    }
  }
  Channel pipe(Kind::kPipe);
  test::FillUp(pipe.out);
  Caller writer([&] { return Ready(pipe.out, POLLOUT); });
  test::LetThemWait();
  pipe.CloseIn();
  EXPECT_NE(writer.Wait().result & POLLERR, 0);
}

TEST(Poll, NumbersThatAreNone) {
  pollfd* const volatile nowhere = nullptr;
  Channel channel(Kind::kPipe);
  const int closed = dup(channel.in);
  close(closed);
  test::HereAndInAThread([&] {
    EXPECT_EQ(Ready(closed, POLLIN), POLLNVAL);
    EXPECT_EQ(Ready(-1, POLLIN, 2), 0);
    pollfd fds[3] = {{-1, POLLIN, 0x55}, {channel.in, POLLIN, 0x55}, {-7, POLLIN, 0x55}};
    EXPECT_EQ(poll(fds, 3, 2), 0);
    EXPECT_EQ(fds[0].revents | fds[1].revents | fds[2].revents, 0);
    EXPECT_EQ(poll(nullptr, 0, 2), 0);
    EXPECT_EQ(test::Of(poll(nowhere, 1, 0)), (Outcome{-1, EFAULT}));
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_EQ(test::Of(poll(fds, limit.rlim_cur + 1, 0)), (Outcome{-1, EINVAL}));
  });
  pollfd fds[4] = {{-1, POLLIN, 0x55}, {channel.in, POLLIN, 0}, {-7, POLLIN, 0x55}, {channel.out, POLLERR, 0}};
  Caller poller([&] { return poll(fds, 4, -1); });
  test::LetThemWait();
  channel.Put();
  EXPECT_EQ(poller.Wait(), Outcome{1});
  EXPECT_EQ(fds[0].revents | fds[2].revents | fds[3].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLIN);
}

TEST(Poll, SeveralOfSeveralKinds) {
  std::vector<std::unique_ptr<Channel>> channels;
  std::vector<pollfd> fds;
  for (const Kind kind : kKinds) {
    channels.push_back(std::make_unique<Channel>(kind));
    fds.push_back({channels.back()->in, POLLIN, 0});
    fds.push_back({channels.back()->out, POLLERR, 0});
  }
  const int event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
  const sigset_t set = test::Set({SIGUSR2});
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const int signals = signalfd(-1, &set, 0);
  for (const int fd : {event, timer, signals}) fds.push_back({fd, POLLIN, 0});
  auto wake_by = [&](size_t index, const std::function<void()>& wake) {
    SCOPED_TRACE(index);
    Caller poller([&] { return poll(fds.data(), fds.size(), -1); });
    test::LetThemWait();
    EXPECT_FALSE(poller.done());
    wake();
    EXPECT_EQ(poller.Wait(), Outcome{1});
    for (size_t i = 0; i < fds.size(); ++i) EXPECT_EQ(fds[i].revents, i == index ? POLLIN : 0) << i;
  };
  for (size_t i = 0; i < channels.size(); ++i) {
    wake_by(2 * i, [&] { channels[i]->Put(); });
    channels[i]->Get();
  }
  uint64_t value;
  wake_by(2 * channels.size(), [&] { eventfd_write(event, 1); });
  EXPECT_EQ(read(event, &value, 8), 8);
  wake_by(2 * channels.size() + 1, [&] {
    const itimerspec soon = {.it_interval = {}, .it_value = test::Ms(5)};
    EXPECT_EQ(timerfd_settime(timer, 0, &soon, nullptr), 0);
  });
  EXPECT_EQ(read(timer, &value, 8), 8);
  wake_by(2 * channels.size() + 2, [&] { kill(getpid(), SIGUSR2); });
  for (const int fd : {event, timer, signals}) close(fd);
}

TEST(Poll, AHundredDescriptorsAndOneTwice) {
  std::vector<std::unique_ptr<Channel>> channels;
  std::vector<pollfd> fds;
  for (int i = 0; i < 100; ++i) {
    channels.push_back(std::make_unique<Channel>(i % 2 == 0 ? Kind::kPipe : Kind::kUnixStream));
    fds.push_back({channels.back()->in, POLLIN, 0});
  }
  fds.push_back(fds[42]);
  EXPECT_EQ(test::InThread([&] { return poll(fds.data(), fds.size(), 3); }), 0);
  for (const size_t i : {size_t{0}, size_t{42}, size_t{99}}) {
    Caller poller([&] { return poll(fds.data(), fds.size(), -1); });
    test::LetThemWait();
    channels[i]->Put();
    EXPECT_EQ(poller.Wait(), Outcome{i == 42 ? 2 : 1});
    EXPECT_EQ(fds[i].revents, POLLIN);
    EXPECT_EQ(fds[100].revents, i == 42 ? POLLIN : 0);
    channels[i]->Get();
  }
}

TEST(Poll, AllWhoPollOneDescriptorWake) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    std::vector<std::unique_ptr<Caller>> pollers;
    for (int i = 0; i < 10; ++i) {
      pollers.push_back(std::make_unique<Caller>([&] { return Ready(channel.in, POLLIN); }));
    }
    test::LetThemWait();
    channel.Put();
    for (auto& poller : pollers) EXPECT_EQ(poller->Wait(), Outcome{POLLIN});
  }
}

TEST(Poll, AndReadOfOneDescriptor) {
  for (const Kind kind : kKinds) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind);
    std::atomic<bool> stop = false;
    std::atomic<int> seen = 0;
    Thread poller([&] {
      while (!stop) seen += Ready(channel.in, POLLIN, 5) != 0;
      return nullptr;
    });
    for (int i = 0; i < 50; ++i) {
      Caller reader([&] { return channel.Get(); });
      if (i % 4 == 0) test::LetThemWait();
      channel.Put(static_cast<char>(i));
      EXPECT_EQ(reader.Wait(), Outcome{i});
    }
    stop = true;
  }
}

TEST(Poll, BothDirectionsOfASocket) {
  Channel channel(Kind::kUnixStream);
  test::FillUp(channel.in);
  Caller both([&] { return Ready(channel.in, POLLIN | POLLOUT); });
  Caller out([&] { return Ready(channel.in, POLLOUT); });
  test::LetThemWait();
  channel.Put();
  EXPECT_EQ(both.Wait(), Outcome{POLLIN});
  test::LetThemWait();
  EXPECT_FALSE(out.done());
  std::vector<char> buffer(1 << 20);
  EXPECT_GT(read(channel.out, buffer.data(), buffer.size()), 0);
  EXPECT_EQ(out.Wait(), Outcome{POLLOUT});
}

// A ppoll that lets through the signal that its thread is sent until it returns.
void ExpectEndedBySignal(int in) {
  Caller poller([in] {
    const sigset_t usr1 = test::Set({SIGUSR1}), none = test::Set({});
    pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
    pollfd fd = {in, POLLIN, 0};
    return ppoll(&fd, 1, nullptr, &none);
  });
  EXPECT_TRUE(test::Eventually([&] {
    if (!poller.done()) pthread_kill(poller.id(), SIGUSR1);
    return poller.done();
  }));
  EXPECT_EQ(poller.Wait(), (Outcome{-1, EINTR}));
}

TEST(Ppoll, TimesAndMasks) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  Channel channel(Kind::kPipe);
  const sigset_t usr1 = test::Set({SIGUSR1}), none = test::Set({});
  test::HereAndInAThread([&] {
    pollfd fd = {channel.in, POLLIN, 0};
    timespec time = test::Ms(3);
    EXPECT_EQ(test::Of(ppoll(&fd, 1, &time, nullptr)), Outcome{0});
    EXPECT_EQ(test::ToNs(time), 3 * test::kNsPerMs);
    timespec bad = {.tv_sec = 0, .tv_nsec = test::kNsPerSecond};
    EXPECT_EQ(test::Of(ppoll(&fd, 1, &bad, nullptr)), (Outcome{-1, EINVAL}));
    // A signal that is blocked but during the wait.
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &usr1, &before);
    test::handled = 0;
    pthread_kill(pthread_self(), SIGUSR1);
    EXPECT_EQ(test::handled, 0);
    EXPECT_EQ(test::Of(ppoll(&fd, 1, nullptr, &none)), (Outcome{-1, EINTR}));
    EXPECT_EQ(test::handled, 1);
    EXPECT_TRUE(test::IsBlocked(SIGUSR1));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
  ExpectEndedBySignal(channel.in);
}

TEST(Ppoll, SignalsThatComeAsItBegins) {
  test::Handler handler(SIGUSR1, test::Count, 0);
  Channel channel(Kind::kPipe);
  for (int i = 0; i < 100 && !HasFailure(); ++i) ExpectEndedBySignal(channel.in);
}

TEST(Select, SetsAndTimes) {
  for (const Kind kind : {Kind::kTcp, Kind::kPipe, Kind::kPty}) {
    SCOPED_TRACE(test::NameOf(kind));
    Channel channel(kind), other(kind);
    const int count = std::max({channel.in, channel.out, other.in}) + 1;
    auto sets = [&](fd_set* in, fd_set* out) {
      FD_ZERO(in);
      FD_ZERO(out);
      FD_SET(channel.in, in);
      FD_SET(other.in, in);
    };
    test::HereAndInAThread([&] {
      fd_set in, out;
      sets(&in, &out);
      timeval time = {.tv_sec = 0, .tv_usec = 3000};
      EXPECT_EQ(select(count, &in, &out, nullptr, &time), 0);
      EXPECT_EQ(time.tv_sec * 1000000 + time.tv_usec, 0);
      EXPECT_FALSE(FD_ISSET(channel.in, &in));
      sets(&in, &out);
      FD_SET(channel.out, &out);
      time = {.tv_sec = 50, .tv_usec = 0};
      EXPECT_EQ(select(count, &in, &out, nullptr, &time), 1);
      EXPECT_TRUE(FD_ISSET(channel.out, &out));
      EXPECT_FALSE(FD_ISSET(channel.in, &in));
      EXPECT_GT(time.tv_sec, 20);
      time = {.tv_sec = 0, .tv_usec = 1000000};
      EXPECT_EQ(test::Of(select(0, nullptr, nullptr, nullptr, &time)).result, 0);
      time = {.tv_sec = -1, .tv_usec = 0};
      EXPECT_EQ(test::Of(select(0, nullptr, nullptr, nullptr, &time)), (Outcome{-1, EINVAL}));
      EXPECT_EQ(test::Of(select(-1, nullptr, nullptr, nullptr, nullptr)), (Outcome{-1, EINVAL}));
      const int closed = dup(channel.in);
      close(closed);
      FD_ZERO(&in);
      FD_SET(closed, &in);
      EXPECT_EQ(test::Of(select(closed + 1, &in, nullptr, nullptr, nullptr)), (Outcome{-1, EBADF}));
      EXPECT_TRUE(FD_ISSET(closed, &in));
    });
    fd_set in, out;
    sets(&in, &out);
    timeval left = {.tv_sec = 100, .tv_usec = 0};
    Caller caller([&] { return select(count, &in, &out, nullptr, &left); });
    test::LetThemWait();
    other.Put();
    EXPECT_EQ(caller.Wait(), Outcome{1});
    EXPECT_TRUE(FD_ISSET(other.in, &in));
    EXPECT_FALSE(FD_ISSET(channel.in, &in));
    EXPECT_GT(left.tv_sec, 50);
    sets(&in, &out);
    const timespec time = test::Ms(50'000);
    EXPECT_EQ(test::InThread([&] { return pselect(count, &in, nullptr, nullptr, &time, nullptr); }), 1);
  }
}

TEST(Select, ManyDescriptors) {
  std::vector<std::unique_ptr<Channel>> channels;
  for (int i = 0; i < 50; ++i) channels.push_back(std::make_unique<Channel>(Kind::kPipe));
  fd_set in;
  FD_ZERO(&in);
  for (const auto& channel : channels) FD_SET(channel->in, &in);
  Caller caller([&] { return select(channels.back()->out + 1, &in, nullptr, nullptr, nullptr); });
  test::LetThemWait();
  channels[33]->Put();
  EXPECT_EQ(caller.Wait(), Outcome{1});
  for (const auto& channel : channels) EXPECT_EQ(FD_ISSET(channel->in, &in) != 0, channel == channels[33]);
}

}  // namespace
