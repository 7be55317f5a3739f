// SPDX-License-Identifier: Apache-2.0
// Tests what is remembered of descriptors: the table, kinds, and when the epochs make a memory void.
#include "runtime/io/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "runtime/io/wait.h"

namespace {

using mn::FdKind;
using mn::FdState;

struct Pair {
  int fds[2] = {-1, -1};
  Pair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0); }
  ~Pair() {
    close(fds[0]);
    close(fds[1]);
  }
};

void SetNonblocking(int fd, bool on) {
  int flags = fcntl(fd, F_GETFL);
  EXPECT_EQ(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

TEST(Fd, EveryNumberHasAStateOfItsOwn) {
  for (int fd : {0, 1, 1023, 1024, 5000, static_cast<int>(mn::kLastFd)}) {
    FdState* s = mn::fd_state(fd);
    ASSERT_NE(s, nullptr);
    EXPECT_EQ(s->fd, fd);
    EXPECT_EQ(mn::fd_state(fd), s);
    EXPECT_EQ(mn::fd_state_if_any(fd), s);
    EXPECT_EQ(s->waits, 0u);
  }
  EXPECT_EQ(mn::fd_state(-1), nullptr);
  EXPECT_EQ(mn::fd_state(static_cast<int>(mn::kLastFd) + 1), nullptr);
  EXPECT_EQ(mn::fd_state_if_any(777 * static_cast<int>(mn::kFdsTogether)), nullptr);
}

TEST(Fd, ManyThreadsMakeOneTable) {
  constexpr int kFd = 300 * static_cast<int>(mn::kFdsTogether) + 7;
  std::vector<FdState*> found(8);
  std::vector<std::thread> threads;
  for (auto& one : found) threads.emplace_back([&one] { one = mn::fd_state(kFd); });
  for (auto& thread : threads) thread.join();
  for (FdState* one : found) EXPECT_EQ(one, mn::fd_state_if_any(kFd));
}

FdKind KindOf(int fd) {
  FdState* s = mn::fd_state(fd);
  mn::fd_forget(s);
  return mn::fd_kind(s);
}

TEST(Fd, Kinds) {
  Pair sockets;
  EXPECT_EQ(KindOf(sockets.fds[0]), FdKind::kSocket);
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  EXPECT_EQ(KindOf(pipes[0]), FdKind::kNowait);
  const int event = eventfd(0, 0), null = open("/dev/null", O_RDWR), folder = open("/", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(KindOf(event), FdKind::kNowait);
  EXPECT_EQ(KindOf(null), FdKind::kDirect);
  EXPECT_EQ(KindOf(folder), FdKind::kDirect);
  if (const int terminal = posix_openpt(O_RDWR | O_NOCTTY); terminal != -1) {
    EXPECT_EQ(KindOf(terminal), FdKind::kDevice);
    close(terminal);
  }
  // Those that RWF_NOWAIT is not for.
  mn::fd_no_nowait(mn::fd_state(event));
  EXPECT_EQ(mn::fd_kind(mn::fd_state(event)), FdKind::kDevice);
  mn::fd_no_nowait(mn::fd_state(pipes[0]));
  EXPECT_EQ(mn::fd_kind(mn::fd_state(pipes[0])), FdKind::kPollFirst);
  for (int fd : {pipes[0], pipes[1], event, null, folder}) close(fd);
  // Nothing is there: it is asked for again next time.
  EXPECT_EQ(KindOf(event), FdKind::kUnknown);
  EXPECT_EQ(mn::fd_kind(mn::fd_state(event)), FdKind::kUnknown);
}

TEST(Fd, AKindIsRememberedUntilTheNumberIsMadeAnew) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  FdState* s = mn::fd_state(pipes[0]);
  mn::fd_made(pipes[0]);
  EXPECT_EQ(mn::fd_kind(s), FdKind::kNowait);
  Pair sockets;
  ASSERT_EQ(dup2(sockets.fds[0], pipes[0]), pipes[0]);  // behind its back
  EXPECT_EQ(mn::fd_kind(s), FdKind::kNowait);
  mn::fd_made(pipes[0]);
  EXPECT_EQ(mn::fd_kind(s), FdKind::kSocket);
  close(pipes[0]);
  close(pipes[1]);
}

TEST(Fd, ASocketsFlagsAreRememberedWhileNobodyCanHaveChangedThem) {
  Pair sockets;
  const int fd = sockets.fds[0];
  FdState* s = mn::fd_state(fd);
  mn::fd_created(fd, false);
  EXPECT_EQ(mn::fd_kind(s), FdKind::kSocket);
  EXPECT_FALSE(mn::fd_nonblocking(s));
  SetNonblocking(fd, true);  // without fd_flags_changed(): it cannot know
  EXPECT_FALSE(mn::fd_nonblocking(s));
  mn::fd_flags_changed();
  EXPECT_TRUE(mn::fd_nonblocking(s));
  SetNonblocking(fd, false);
  EXPECT_TRUE(mn::fd_nonblocking(s));
  mn::fd_flags_changed();
  EXPECT_FALSE(mn::fd_nonblocking(s));
}

TEST(Fd, FlagsOfWhatOthersMayHoldAreAskedForEveryTime) {
  Pair sockets;
  const int fd = sockets.fds[0];
  FdState* s = mn::fd_state(fd);
  mn::fd_created(fd, false);
  mn::fds_shared();  // another process may change them
  for (const bool nonblocking : {true, false, true}) {
    SetNonblocking(fd, nonblocking);
    EXPECT_EQ(mn::fd_nonblocking(s), nonblocking);
  }
  // The same of what this process did not make, as far as is known.
  mn::fd_made(fd);
  for (const bool nonblocking : {false, true}) {
    SetNonblocking(fd, nonblocking);
    EXPECT_EQ(mn::fd_nonblocking(s), nonblocking);
  }
  // One that is made afterwards is its own again.
  SetNonblocking(fd, false);
  mn::fd_created(fd, false);
  SetNonblocking(fd, true);
  EXPECT_FALSE(mn::fd_nonblocking(s));
}

TEST(Fd, WhatIsNotOpenIsNotWaitedFor) {
  Pair sockets;
  const int fd = dup(sockets.fds[0]);
  close(fd);
  EXPECT_TRUE(mn::fd_nonblocking(fd));
}

TEST(Fd, ForgettingBeginsAnEraAndDoubtsTheRegistration) {
  FdState* s = mn::fd_state(900);
  const uint32_t era = s->era;
  s->set = 5;
  s->armed = 1;
  s->misses = s->poll_misses = 3;
  mn::fd_forget(s);
  EXPECT_EQ(s->era, era + 1);
  EXPECT_EQ(s->set, 0u);
  EXPECT_EQ(s->armed, 0u);
  EXPECT_EQ(s->misses, 0);
  EXPECT_EQ(s->poll_misses, 0);
  // While somebody waits the registration is not its to change.
  s->waits = 1;
  s->set = 5;
  s->armed = 1;
  mn::fd_forget(s);
  EXPECT_EQ(s->era, era + 2);
  EXPECT_EQ(s->set, 5u);
  EXPECT_EQ(s->armed, 1u);
  s->waits = 0;
  mn::fd_forget(s);
  // A number of which nothing is known has no state to forget.
  mn::fd_made(778 * static_cast<int>(mn::kFdsTogether));
  EXPECT_EQ(mn::fd_state_if_any(778 * static_cast<int>(mn::kFdsTogether)), nullptr);
}

std::vector<int> visited;

TEST(Fd, EachShareOfTheWaitedIsVisitedOnce) {
  std::vector<int> all;
  for (int fd = 2048; fd < 2048 + 40; fd += 3) {
    mn::fd_state(fd)->waits = 1;
    all.push_back(fd);
  }
  visited.clear();
  for (unsigned turn = 0; turn < mn::kFdShares; ++turn) {
    mn::fd_for_each_waited(1, turn, [](FdState* s) { visited.push_back(s->fd); });
  }
  std::sort(visited.begin(), visited.end());
  EXPECT_EQ(visited, all);
  visited.clear();
  mn::fd_for_each_waited(mn::kFdShares, 0, [](FdState* s) { visited.push_back(s->fd); });
  EXPECT_EQ(visited, all);
  for (int fd : all) mn::fd_state(fd)->waits = 0;
}

TEST(Fd, AChildForgetsWhoWaitsAndClosesWhatIsKept) {
  Pair sockets;
  const int kept = mn::fd_high_duplicate(sockets.fds[0]);
  ASSERT_GT(kept, sockets.fds[1]);
  EXPECT_EQ(fcntl(kept, F_GETFD), FD_CLOEXEC);
  FdState* s = mn::fd_state(kept);
  FdState* waited = mn::fd_state(sockets.fds[0]);
  mn::FdWait wait(waited);
  s->kept = 1;
  waited->waits = 1;
  waited->set = 3;
  waited->armed = 1;
  waited->in_service = 1;
  waited->queues[mn::kReaders] = {&wait, &wait};
  mn::fds_reset_after_fork();
  EXPECT_EQ(fcntl(kept, F_GETFD), -1);
  EXPECT_EQ(s->kept, 0);
  EXPECT_EQ(waited->waits, 0u);
  EXPECT_EQ(waited->set, 0u);
  EXPECT_EQ(waited->armed, 0u);
  EXPECT_EQ(waited->in_service, 0);
  for (const auto& queue : waited->queues) {
    EXPECT_EQ(queue.first, nullptr);
    EXPECT_EQ(queue.last, nullptr);
  }
}

}  // namespace
