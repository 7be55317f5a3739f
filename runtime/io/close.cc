// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/close.h"

#include "runtime/io/netpoll.h"
#include "runtime/io/wait.h"
#include "runtime/os/real.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

bool has_waits(const FdState* s) {
  return s->waits.load(std::memory_order_relaxed) != 0;
}

void look_again(FdState* s) {
  enter();
  GList ended;
  s->lock.lock();
  fd_look_again(s, &ended);
  s->lock.unlock();
  while (G* g = ended.pop_front()) ready(g, Place::kTail);
  leave();
}

// Moves the operations on s to a duplicate of it. Without one (no number is free) they find the number closed.
void keep_file(FdState* s) {
  FdKind kind = fd_kind(s);
  int duplicate = fd_high_duplicate(s->fd);
  FdState* kept = duplicate >= 0 ? fd_state(duplicate) : nullptr;
  enter();
  GList ended;
  // The duplicate is new and nobody else's: no second order of these locks exists.
  s->lock.lock();
  if (kept != nullptr && has_waits(s)) {
    kept->lock.lock();
    fd_abandon(kept, &ended);
    fd_forget(kept);
    fd_set_kind(kept, kind);
    fd_move_waits(s, kept);
    fd_prove(kept, &ended);
    kept->lock.unlock();
    duplicate = -1;
  }
  s->set = 0;
  s->armed = 0;
  s->lock.unlock();
  while (G* g = ended.pop_front()) ready(g, Place::kTail);
  leave();
  if (duplicate >= 0) raw_syscall(SYS_close, duplicate);
}

void forget(FdState* s) {
  if (MN_UNLIKELY(in_vfork_child())) return;
  fd_forget(s);
  if (has_waits(s)) keep_file(s);
}

// All from `first` to `last` but ours.
template <class Visit>
void for_each_in(unsigned first, unsigned last, Visit visit) {
  for (unsigned fd = first; fd <= last && fd <= kLastFd; ++fd) {
    FdState* s = fd_state_if_any(static_cast<int>(fd));
    if (s == nullptr)
      fd |= kFdsTogether - 1;  // nothing is known of its neighbours
    else if (!netpoll_owns(static_cast<int>(fd)))
      visit(s);
  }
}

// The lowest of ours among them; -1: none.
int ours_in(unsigned first, unsigned last) {
  for (unsigned fd = first; fd <= last && fd <= kLastFd; ++fd) {
    if (fd_state_if_any(static_cast<int>(fd)) == nullptr)
      fd |= kFdsTogether - 1;
    else if (netpoll_owns(static_cast<int>(fd)))
      return static_cast<int>(fd);
  }
  return -1;
}

int close_around_ours(unsigned first, unsigned last) {
  for (int ours; first <= last && (ours = ours_in(first, last)) >= 0; first = static_cast<unsigned>(ours) + 1) {
    auto below = static_cast<unsigned>(ours);
    if (first < below && real.close_range(first, below - 1, 0) != 0) return -1;
  }
  return first <= last ? real.close_range(first, last, 0) : 0;
}

}  // namespace

bool fd_closing(int fd) {
  FdState* s = fd_state_if_any(fd);
  if (s == nullptr) return true;
  if (netpoll_owns(fd)) return in_vfork_child();
  forget(s);
  return true;
}

// Between the look for waits before a file is closed and its end a thread may have tried, failed, and begun to wait: it
// shall find the number as it is now. (A thread that begins later finds it so by itself: arming fails.)
void fd_closed(int fd) {
  FdState* s = fd_state_if_any(fd);
  if (s != nullptr && has_waits(s) && !in_vfork_child() && !netpoll_owns(fd)) look_again(s);
}

int io_close_range(unsigned first, unsigned last, int flags) {
  if (flags != 0 || first > last) return real.close_range(first, last, flags);
  for_each_in(first, last, forget);
  int result = close_around_ours(first, last);
  for_each_in(first, last, [](FdState* s) {
    if (has_waits(s) && !in_vfork_child()) look_again(s);
  });
  return result;
}

void fd_replacing(int fd) {
  if (fd_state_if_any(fd) == nullptr) return;
  if (!fd_closing(fd)) netpoll_give_way(fd);
}

void fd_shut(int fd) {
  FdState* s = fd_state_if_any(fd);
  if (s != nullptr && has_waits(s)) look_again(s);
}

}  // namespace mn
