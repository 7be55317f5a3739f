// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/transfer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "runtime/io/wait.h"
#include "runtime/os/confined.h"
#include "runtime/sync/guard.h"
#include "runtime/sync/interrupt.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

// Counts changes of time-outs. A socket whose state has the present count is known to have none.
constinit std::atomic<uint32_t> g_timeouts_epoch{1};

Deadline socket_deadline(FdState* s, int option) {
  uint32_t epoch = g_timeouts_epoch.load(std::memory_order_relaxed);
  if (option == 0 || s->no_timeouts.load(std::memory_order_relaxed) == epoch) return {};
  timeval receive{}, send{};
  socklen_t size = sizeof receive;
  raw_syscall(SYS_getsockopt, s->fd, SOL_SOCKET, SO_RCVTIMEO, sys_arg(&receive), sys_arg(&size));
  size = sizeof send;
  raw_syscall(SYS_getsockopt, s->fd, SOL_SOCKET, SO_SNDTIMEO, sys_arg(&send), sys_arg(&size));
  auto ns = [](const timeval& t) { return t.tv_sec * kNsPerSec + t.tv_usec * 1000; };
  if (ns(receive) == 0 && ns(send) == 0) s->no_timeouts.store(epoch, std::memory_order_relaxed);
  int64_t wanted = ns(option == SO_RCVTIMEO ? receive : send);
  return wanted == 0 ? Deadline{} : Deadline{kOwnClock, now_ns() + wanted};
}

// Readiness is not always this call's: a datagram to a peer whose queue is full finds the socket writable; what was
// shut down for reading is ready for ever, but says EAGAIN to a call that does not wait. After so many futile wake-ups
// in a row the call is left to block its M.
constexpr int kMostMisfires = 4;

struct Waiting {
  Transfer* transfer;
  FdOperation operation;
  long result = 0;

  long attempt() {
    if (MN_UNLIKELY(operation.gone())) return moved_or(transfer, -EBADF);
    if (!may_use(kReadiness)) return moved_or(transfer, kUnpollable);
    transfer->state = operation.state();
    return transfer->attempt(transfer, transfer->state->fd);
  }
  // The program has closed the number: libc's function would find another file, or none.
  bool moved(const FdState* begun) const { return operation.state() != begun; }
};

void wait_and_attempt(void* arg) {
  auto* w = static_cast<Waiting*>(arg);
  Transfer* t = w->transfer;
  FdState* begun = t->state;
  Deadline deadline = socket_deadline(t->state, t->timeout_option);
  Interruption before(this_g());
  for (int misfires = 0;;) {
    int error = w->operation.await(t->events, deadline);
    if (error == 0) {
      long done = t->done;
      w->result = w->attempt();
      if (w->result != -EAGAIN) return;
      misfires = t->done != done ? 0 : misfires + 1;
      bool shut = (w->operation.got() & EPOLLRDHUP) != 0;
      if (t->done != 0 || (misfires < kMostMisfires && !shut)) continue;
      if (!w->moved(begun))
        w->result = kUnpollable;
      else if (shut)
        w->result = 0;
      else
        thread_yield();
      if (w->result != -EAGAIN) return;
    } else if (error == EINTR) {
      w->result = moved_or(t, -EINTR);
      if (before.ends_wait(deadline.never() && t->done == 0)) return;
      cancel_if_due();
      if (t->cancels) cancellation_point();
    } else if (error == ETIMEDOUT) {
      if (!deadline.passed()) continue;
      w->result = w->attempt();  // the timer may have been looked at before the descriptors
      if (w->result == -EAGAIN) w->result = moved_or(t, -EAGAIN);
      return;
    } else {
      if (error == EPERM) fd_set_kind(t->state, FdKind::kDirect);
      w->result = moved_or(t, error == EBADF || w->moved(begun) ? -EBADF : kUnpollable);
      return;
    }
  }
}

}  // namespace

long transfer_wait(Transfer* t) {
  if (fd_nonblocking(t->state)) return t->attempted ? moved_or(t, -EAGAIN) : t->attempt(t, t->state->fd);
  if (!may_use(kReadiness)) return moved_or(t, kUnpollable);
  cancel_hold();
  Waiting w{t, FdOperation(t->state)};
  // A cancellation, or an exception from a signal handler, unwinds past us.
  auto undo = [](void* op) {
    cancel_unwound();
    static_cast<FdOperation*>(op)->end();
  };
  call_guarded(wait_and_attempt, &w, undo, &w.operation);
  w.operation.end();
  cancel_release();
  return w.result;
}

void socket_timeouts_changed() {
  g_timeouts_epoch.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace mn
