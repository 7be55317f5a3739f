// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/wait.h"

#include <errno.h>
#include <sys/epoll.h>

#include "runtime/io/netpoll.h"
#include "runtime/sched/netpoll.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;  // reported whether asked for or not
constexpr uint32_t kOut = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
constexpr uint32_t kIn = ~(kOut | kAlways);

void link(FdWait* w) {
  FdState* s = w->state.load(std::memory_order_relaxed);
  w->linked = true;
  w->next = nullptr;
  w->prev = s->last;
  if (s->last != nullptr)
    s->last->next = w;
  else
    s->first = w;
  s->last = w;
}

void unlink(FdWait* w) {
  FdState* s = w->state.load(std::memory_order_relaxed);
  w->linked = false;
  if (w->prev != nullptr)
    w->prev->next = w->next;
  else
    s->first = w->next;
  if (w->next != nullptr)
    w->next->prev = w->prev;
  else
    s->last = w->prev;
}

// Its wait is over; the FdWaits that share its key stay armed until the thread disarms them.
void fire(FdWait* w, uint32_t got, GList* ended) {
  w->got = got;
  w->events = 0;
  if (w->fired->exchange(true, std::memory_order_relaxed)) return;  // the bucket's lock orders it
  if (G* g = unpark(w->key)) ended->push_back(g);
}

void run(GList* ended) {
  while (G* g = ended->pop_front()) ready(g, Place::kTail);
}

// Locks the state of the wait, which close() may move meanwhile.
FdState* lock_state(FdWait* w) {
  for (;;) {
    FdState* s = w->state.load(std::memory_order_relaxed);
    s->lock.lock();
    if (w->state.load(std::memory_order_relaxed) == s) return s;
    s->lock.unlock();
  }
}

uint32_t direction(const FdWait* w) {
  return (w->events & kIn) != 0 ? kIn : kOut;
}

uint32_t served(const FdState* s) {
  uint32_t directions = 0;
  for (FdWait* w = s->first; w != nullptr; w = w->next) directions |= w->serving;
  return directions;
}

// What to arm: all that is waited for, but for those who wait for their turn.
uint32_t wanted(const FdState* s) {
  uint32_t in_service = served(s), events = 0;
  for (FdWait* w = s->first; w != nullptr; w = w->next)
    if (!w->exclusive || (direction(w) & in_service) == 0) events |= w->events;
  return events;
}

void abandon(FdState* s, const FdWait* except, GList* ended) {
  for (FdWait* w = s->first; w != nullptr; w = w->next) {
    if (w == except) continue;
    w->gone = true;
    w->serving = 0;
    if (w->events != 0) fire(w, 0, ended);
  }
}

int start(FdWait* w, uint32_t events, GList* ended) {
  FdState* s = lock_state(w);
  bool fresh = !w->linked;
  if (fresh) link(w);
  w->events = events | kAlways;
  w->got = w->serving = 0;
  int error = w->gone ? EBADF : 0;
  uint32_t mask = wanted(s);
  // A poll leaves those of its descriptors armed that were not ready: they need not be armed again.
  bool armed = !w->exclusive && (mask & ~s->armed) == 0;
  if (error == 0 && mask != 0 && !armed) {
    bool another_file = false;
    error = netpoll_arm(s, mask | s->armed, &another_file);
    if (error == 0) s->armed |= mask;
    if (another_file) {
      abandon(s, fresh ? w : nullptr, ended);
      if (!fresh) error = EBADF;
    }
  }
  if (error != 0) w->events = 0;
  s->lock.unlock();
  return error;
}

void stop(FdWait* w) {
  FdState* s = lock_state(w);
  w->events = 0;
  s->lock.unlock();
}

void rearm(FdState* s, GList* ended) {
  uint32_t mask = wanted(s);
  if ((mask & ~s->armed) == 0) return;
  bool another_file = false;
  if (netpoll_arm(s, mask | s->armed, &another_file) == 0) s->armed |= mask;
  if (another_file) abandon(s, nullptr, ended);
}

}  // namespace

void fd_report(FdState* s, uint32_t events, GList* ended) {
  s->armed = 0;
  uint32_t in_service = served(s);
  for (FdWait* w = s->first; w != nullptr; w = w->next) {
    uint32_t hit = events & w->events;
    if (hit == 0) continue;
    if (w->exclusive) {
      if ((direction(w) & in_service) != 0) continue;
      w->serving = direction(w);
      in_service |= w->serving;
    }
    fire(w, hit, ended);
  }
  rearm(s, ended);
}

void fd_prove(FdState* s, GList* ended) {
  s->armed = 0;
  rearm(s, ended);
}

void fd_look_again(FdState* s, GList* ended) {
  for (FdWait* w = s->first; w != nullptr; w = w->next)
    if (w->events != 0) fire(w, 0, ended);
}

void fd_move_waits(FdState* from, FdState* to) {
  while (FdWait* w = from->first) {
    unlink(w);
    w->state.store(to, std::memory_order_relaxed);
    link(w);
    w->kept = true;
    ++to->kept;
  }
}

int wait_for_any(FdWait* waits, const uint32_t* want, int n, std::atomic<bool>* fired, const Deadline& deadline) {
  enter();
  GList ended;
  fired->store(false, std::memory_order_relaxed);
  int error = 0;
  for (int i = 0; i < n && error == 0; ++i) {
    waits[i].key = waits;
    waits[i].fired = fired;
    error = start(&waits[i], want[i], &ended);
  }
  run(&ended);
  if (error == 0) {
    netpoll.waiting.fetch_add(1, std::memory_order_relaxed);
    error = wait_if(waits, {deadline, nullptr, WaitKind::kDescriptor},
                    [&] { return !fired->load(std::memory_order_relaxed); });
    netpoll.waiting.fetch_sub(1, std::memory_order_relaxed);
  }
  if (error == EAGAIN) error = 0;
  if (n > 1 || error != 0)
    for (int i = 0; i < n; ++i) stop(&waits[i]);
  if (error == 0)
    for (int i = 0; i < n && error == 0; ++i)
      if (waits[i].gone) error = EBADF;
  leave();
  return error;
}

void end_waits(FdWait* waits, int n) {
  enter();
  GList ended;
  for (int i = 0; i < n; ++i) {
    FdWait* w = &waits[i];
    if (!w->linked) continue;
    FdState* s = lock_state(w);
    unlink(w);
    if (s->first != nullptr) rearm(s, &ended);
    bool last = w->kept && --s->kept == 0;
    if (last) s->set = 0;
    int fd = s->fd;
    s->lock.unlock();
    if (last) raw_syscall(SYS_close, fd);
  }
  run(&ended);
  leave();
}

}  // namespace mn
