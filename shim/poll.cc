// SPDX-License-Identifier: Apache-2.0
// poll, select, epoll_wait; io/poll.h says what becomes of those that change the signal mask for the time of the wait.
#include "runtime/io/poll.h"

#include "runtime/io/block.h"
#include "shim/io.h"
#include "shim/shim.h"

using namespace mn;

namespace {

constexpr int64_t kNsPerMs = 1000000;

// Milliseconds; negative: for ever. A deadline of 0 means "do not wait".
Deadline in_ms(int timeout) {
  if (timeout < 0) return {};
  return timeout == 0 ? Deadline{kOwnClock, 0} : after(timeout * kNsPerMs);
}

bool valid(const timespec* timeout) {
  return timeout == nullptr || valid_sleep(timeout);
}

Deadline in(const timespec* timeout) {
  if (timeout == nullptr) return {};
  int64_t ns = timespec_ns(*timeout);
  return ns == 0 ? Deadline{kOwnClock, 0} : after(ns);
}

int64_t left_until(const Deadline& deadline) {
  int64_t left = deadline.at == 0 ? 0 : deadline.at - now_ns();
  return left > 0 ? left : 0;
}

}  // namespace

MN_SHIM int poll(pollfd* fds, nfds_t count, int timeout) {
  return static_cast<int>(
      served([&] { return io_poll(fds, count, in_ms(timeout)); }, [&] { return real.poll(fds, count, timeout); }));
}

MN_SHIM int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (on_here() && mask != nullptr) return static_cast<int>(errno_of(io_ppoll(fds, count, timeout, mask)));
  return static_cast<int>(served([&] { return !valid(timeout) ? kUnpollable : io_poll(fds, count, in(timeout)); },
                                 [&] { return real.ppoll(fds, count, timeout, mask); }));
}

// Linux tells what is left of the time.
MN_SHIM int select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
  return static_cast<int>(served(
      [&]() -> long {
        if (timeout != nullptr && (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000))
          return kUnpollable;
        timespec wanted{};
        if (timeout != nullptr) wanted = {timeout->tv_sec, timeout->tv_usec * 1000};
        Deadline deadline = in(timeout != nullptr ? &wanted : nullptr);
        long n = io_select(count, read, write, except, deadline);
        if (timeout != nullptr && n != kUnpollable) {
          int64_t left = left_until(deadline);
          *timeout = {left / kNsPerSec, left % kNsPerSec / 1000};
        }
        return n;
      },
      [&] { return real.select(count, read, write, except, timeout); }));
}

MN_SHIM int pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout,
                    const sigset_t* mask) {
  if (on_here() && mask != nullptr)
    return static_cast<int>(errno_of(io_pselect(count, read, write, except, timeout, mask)));
  return static_cast<int>(served(
      [&]() -> long {
        if (!valid(timeout)) return kUnpollable;
        return io_select(count, read, write, except, in(timeout));
      },
      [&] { return real.pselect(count, read, write, except, timeout, mask); }));
}

MN_SHIM int epoll_wait(int epfd, epoll_event* events, int most, int timeout) {
  return static_cast<int>(served([&] { return io_epoll_wait(epfd, events, most, in_ms(timeout)); },
                                 [&] { return real.epoll_wait(epfd, events, most, timeout); }));
}

MN_SHIM int epoll_pwait(int epfd, epoll_event* events, int most, int timeout, const sigset_t* mask) {
  if (on_here() && mask != nullptr)
    return static_cast<int>(errno_of(io_epoll_pwait(epfd, events, most, in_ms(timeout), mask)));
  return static_cast<int>(served([&] { return io_epoll_wait(epfd, events, most, in_ms(timeout)); },
                                 [&] { return real.epoll_pwait(epfd, events, most, timeout, mask); }));
}

MN_SHIM int epoll_pwait2(int epfd, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask) {
  if (on_here() && mask != nullptr)
    return static_cast<int>(errno_of(io_epoll_pwait2(epfd, events, most, timeout, mask)));
  return static_cast<int>(
      served([&] { return !valid(timeout) ? kUnpollable : io_epoll_wait(epfd, events, most, in(timeout), timeout); },
             [&] { return real.epoll_pwait2(epfd, events, most, timeout, mask); }));
}

MN_SHIM int __poll_chk(pollfd* fds, nfds_t count, int timeout, size_t room) {
  return on() && room / sizeof *fds >= count ? poll(fds, count, timeout) : real.__poll_chk(fds, count, timeout, room);
}
MN_SHIM int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t room) {
  return on() && room / sizeof *fds >= count ? ppoll(fds, count, timeout, mask)
                                             : real.__ppoll_chk(fds, count, timeout, mask, room);
}

MN_ALIAS(__poll, poll);
MN_ALIAS(__select, select);
