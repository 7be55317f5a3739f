// SPDX-License-Identifier: Apache-2.0
// The pattern of calls that move data through one descriptor: attempt without blocking; if that cannot be, and the
// program did not ask for O_NONBLOCK, wait until the descriptor is ready, and attempt again. O_NONBLOCK is never
// touched: it belongs to the open file, which other processes may share.
//
// Interruption is signal(7)'s: a handler without SA_RESTART ends the call with EINTR, or with what was moved so far;
// where the socket has a time-out (SO_RCVTIMEO, SO_SNDTIMEO), any handler does.
#pragma once

#include <cstdint>

#include "runtime/io/fd.h"

namespace mn {

constexpr long kUnpollable = -4096;  // below every -errno: make the call, which will block its M

struct Transfer {
  uint32_t events;     // EPOLLIN or EPOLLOUT
  int timeout_option;  // SO_RCVTIMEO, SO_SNDTIMEO; 0: the call has no time-out
  // Result, -errno, or -EAGAIN: not now. `done` is what attempts so far have moved.
  long (*attempt)(Transfer* t, int fd);
  FdState* state;
  long done = 0;
};

// Outside; a cancellation point when it waits. Result, -errno, or kUnpollable.
long transfer_wait(Transfer* t);

// What the call returns when `error` (negative) ends it: after something was moved, that.
inline long moved_or(const Transfer* t, long error) {
  return t->done > 0 ? t->done : error;
}

inline long run_transfer(Transfer* t) {
  long result = t->attempt(t, t->state->fd);
  return __builtin_expect(result == -11 /* EAGAIN */, 0) ? transfer_wait(t) : result;
}

// setsockopt has changed a time-out somewhere in the process.
void socket_timeouts_changed();

}  // namespace mn
