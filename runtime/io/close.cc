// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/close.h"

#include "runtime/io/netpoll.h"
#include "runtime/io/wait.h"
#include "runtime/os/real.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Moves the operations on s to a duplicate of it. Without one (no number is free) they find the number closed.
void keep_file(FdState* s) {
  FdKind kind = fd_kind(s);
  int duplicate = fd_high_duplicate(s->fd);
  FdState* kept = duplicate >= 0 ? fd_state(duplicate) : nullptr;
  enter();
  GList ended;
  // The duplicate is new and nobody else's: no second order of these locks exists.
  s->lock.lock();
  if (kept != nullptr && s->first != nullptr) {
    kept->lock.lock();
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
  if (MN_UNLIKELY(this_g() != nullptr && this_g()->vforked)) return;  // a child's descriptor
  fd_forget(s);
  if (s->first != nullptr) keep_file(s);
}

// Before all from `first` to `last` but ours are closed.
void closing(unsigned first, unsigned last) {
  for (unsigned fd = first; fd <= last && fd <= kLastFd; ++fd) {
    FdState* s = fd_state_if_any(static_cast<int>(fd));
    if (s == nullptr)
      fd |= kFdsTogether - 1;  // nothing is known of its neighbours
    else if (!netpoll_owns(static_cast<int>(fd)))
      forget(s);
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

}  // namespace

bool fd_closing(int fd) {
  FdState* s = fd_state_if_any(fd);
  if (s == nullptr) return true;
  if (netpoll_owns(fd)) return this_g() != nullptr && this_g()->vforked;
  forget(s);
  return true;
}

int io_close_range(unsigned first, unsigned last, int flags) {
  if (flags != 0 || first > last) return real.close_range(first, last, flags);
  closing(first, last);
  for (int ours; first <= last && (ours = ours_in(first, last)) >= 0; first = static_cast<unsigned>(ours) + 1) {
    auto below = static_cast<unsigned>(ours);
    if (first < below && real.close_range(first, below - 1, flags) != 0) return -1;
  }
  return first <= last ? real.close_range(first, last, flags) : 0;
}

void fd_replacing(int fd) {
  if (fd_state_if_any(fd) == nullptr) return;
  if (!fd_closing(fd)) netpoll_give_way(fd);
}

void fd_shut(int fd) {
  FdState* s = fd_state_if_any(fd);
  if (s == nullptr || s->first == nullptr) return;
  enter();
  GList ended;
  s->lock.lock();
  fd_look_again(s, &ended);
  s->lock.unlock();
  while (G* g = ended.pop_front()) ready(g, Place::kTail);
  leave();
}

}  // namespace mn
