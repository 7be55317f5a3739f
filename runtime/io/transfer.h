// SPDX-License-Identifier: Apache-2.0
// The pattern of calls that move data through one descriptor: attempt without blocking; if that cannot be, and the
// program did not ask for O_NONBLOCK, wait until the descriptor is ready, and attempt again. O_NONBLOCK is never
// touched: it belongs to the open file, which other processes may share.
//
// Interruption is signal(7)'s: a handler without SA_RESTART ends the call with EINTR, or with what was moved so far;
// where something was moved or the socket has a time-out (SO_RCVTIMEO, SO_SNDTIMEO), any handler does.
#pragma once

#include <errno.h>

#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/io/fd.h"

namespace mn {

constexpr long kUnpollable = -4096;  // below every -errno: make the call, which will block its M

struct Transfer {
  uint32_t events;     // EPOLLIN, of sockets with EPOLLRDHUP, or EPOLLOUT
  int timeout_option;  // SO_RCVTIMEO, SO_SNDTIMEO; 0: the call has no time-out
  // Result, -errno, or -EAGAIN: not now. `done` is what attempts so far have moved.
  long (*attempt)(Transfer* t, int fd);
  FdState* state;
  long done = 0;
  bool attempted = true;
  bool cancels = true;  // a cancellation point
};

// Outside; a cancellation point when it waits. Result, -errno, or kUnpollable.
long transfer_wait(Transfer* t);

// For receivers: a descriptor that was never ready at once the last times is waited for without an attempt, which the
// registration makes up for: it reports what is there already. Every 16th time is an attempt again.
constexpr uint8_t kMissesBeforeTrust = 2, kTrusted = 16;
inline bool expects_to_wait(std::atomic<uint8_t>* count) {
  uint8_t misses = count->load(std::memory_order_relaxed);
  if (misses < kMissesBeforeTrust) return false;
  count->store(static_cast<uint8_t>(misses + 1), std::memory_order_relaxed);
  return misses % kTrusted != 0;
}
inline void note_attempt(std::atomic<uint8_t>* count, bool missed) {
  uint8_t misses = count->load(std::memory_order_relaxed);
  uint8_t now = missed ? static_cast<uint8_t>(misses == 255 ? kMissesBeforeTrust : misses + 1) : uint8_t{0};
  if (now != misses) count->store(now, std::memory_order_relaxed);
}

// What the call returns when `error` (negative) ends it: after something was moved, that.
inline long moved_or(const Transfer* t, long error) {
  return t->done > 0 ? t->done : error;
}

inline long run_transfer(Transfer* t) {
  long result = t->attempt(t, t->state->fd);
  return MN_UNLIKELY(result == -EAGAIN) ? transfer_wait(t) : result;
}

inline long run_receive(Transfer* t) {
  FdState* s = t->state;
  if (expects_to_wait(&s->misses)) {
    t->attempted = false;
    return transfer_wait(t);
  }
  long result = t->attempt(t, s->fd);
  note_attempt(&s->misses, result == -EAGAIN);
  return result == -EAGAIN ? transfer_wait(t) : result;
}

// setsockopt has changed a time-out somewhere in the process.
void socket_timeouts_changed();

}  // namespace mn
