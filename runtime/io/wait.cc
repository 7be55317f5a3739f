// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/wait.h"

#include <errno.h>
#include <sys/epoll.h>

#include <initializer_list>

#include "runtime/io/netpoll.h"
#include "runtime/sched/netpoll.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;  // reported whether asked for or not
constexpr uint32_t kOut = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
constexpr uint32_t kIn = ~(kOut | kAlways);

uint8_t bit(const FdWait* w) {
  return static_cast<uint8_t>(1 << w->turn);
}

void link(FdWait* w) {
  FdState* s = w->state.load(std::memory_order_relaxed);
  FdQueue& queue = s->queues[w->turn];
  w->next = nullptr;
  w->prev = queue.last;
  if (queue.last != nullptr)
    queue.last->next = w;
  else
    queue.first = w;
  queue.last = w;
  s->waits.fetch_add(1, std::memory_order_relaxed);
}

void unlink(FdWait* w) {
  FdState* s = w->state.load(std::memory_order_relaxed);
  FdQueue& queue = s->queues[w->turn];
  if (w->prev != nullptr)
    w->prev->next = w->next;
  else
    queue.first = w->next;
  if (w->next != nullptr)
    w->next->prev = w->prev;
  else
    queue.last = w->prev;
  s->waits.fetch_sub(1, std::memory_order_relaxed);
}

template <class Visit>
void for_each(FdState* s, Visit visit) {
  for (FdQueue& queue : s->queues)
    for (FdWait* w = queue.first; w != nullptr; w = w->next) visit(w);
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

// The next to be served in its direction; null: nobody, or somebody is being served.
FdWait* whose_turn(const FdState* s, FdTurn turn, uint32_t events) {
  if ((s->in_service >> turn & 1) != 0) return nullptr;
  FdWait* w = s->queues[turn].first;
  while (w != nullptr && (w->events & events) == 0) w = w->next;
  return w;
}

void give_up_turn(FdState* s, FdWait* w) {
  if (!w->serving) return;
  w->serving = false;
  s->in_service = static_cast<uint8_t>(s->in_service & ~bit(w));
}

void abandon(FdState* s, const FdWait* except, GList* ended) {
  for_each(s, [&](FdWait* w) {
    if (w == except) return;
    w->gone = true;
    give_up_turn(s, w);
    if (w->events != 0) fire(w, 0, ended);
  });
}

// Arms `mask`, too. `beginner` (may be null) knows the file as it is now.
int arm(FdState* s, uint32_t mask, const FdWait* beginner, GList* ended) {
  bool another_file = false;
  int error = netpoll_arm(s, mask | s->armed, &another_file);
  if (error == 0) s->armed |= mask;
  if (another_file) abandon(s, beginner, ended);
  return error;
}

int start(FdWait* w, uint32_t events, GList* ended) {
  FdState* s = lock_state(w);
  bool fresh = !w->linked;
  if (fresh) {
    w->turn = !w->exclusive ? kWatchers : (events & kIn) != 0 ? kReaders : kWriters;
    link(w);
    w->linked = true;
  }
  give_up_turn(s, w);
  w->events = events | kAlways;
  w->got = 0;
  int error = 0;
  // A poll leaves those of its descriptors armed that were not ready: they need not be armed again.
  bool to_arm = w->exclusive ? (s->in_service & bit(w)) == 0 : (w->events & ~s->armed) != 0;
  if (to_arm && !w->gone) error = arm(s, w->events, fresh ? w : nullptr, ended);
  if (w->gone) error = EBADF;
  if (error != 0) w->events = 0;
  s->lock.unlock();
  return error;
}

void stop(FdWait* w) {
  FdState* s = lock_state(w);
  w->events = 0;
  s->lock.unlock();
}

// All that is waited for, but by those who wait for their turn.
void rearm(FdState* s, GList* ended) {
  uint32_t mask = 0;
  for (FdTurn turn : {kReaders, kWriters})
    if (FdWait* w = whose_turn(s, turn, ~0u)) mask |= w->events;
  for (FdWait* w = s->queues[kWatchers].first; w != nullptr; w = w->next) mask |= w->events;
  if ((mask & ~s->armed) != 0) arm(s, mask, nullptr, ended);
}

}  // namespace

void fd_report(FdState* s, uint32_t events, GList* ended) {
  s->armed = 0;
  for (FdTurn turn : {kReaders, kWriters}) {
    FdWait* w = whose_turn(s, turn, events);
    if (w == nullptr) continue;
    w->serving = true;
    s->in_service |= bit(w);
    fire(w, events & w->events, ended);
  }
  for (FdWait* w = s->queues[kWatchers].first; w != nullptr; w = w->next)
    if ((events & w->events) != 0) fire(w, events & w->events, ended);
  rearm(s, ended);
}

void fd_prove(FdState* s, GList* ended) {
  s->armed = 0;
  rearm(s, ended);
}

void fd_look_again(FdState* s, GList* ended) {
  s->armed = 0;
  for_each(s, [&](FdWait* w) {
    if (w->events != 0) fire(w, 0, ended);
  });
}

void fd_abandon(FdState* s, GList* ended) {
  abandon(s, nullptr, ended);
}

void fd_move_waits(FdState* from, FdState* to) {
  for (FdQueue& queue : from->queues) {
    while (FdWait* w = queue.first) {
      unlink(w);
      w->state.store(to, std::memory_order_relaxed);
      link(w);
      w->kept = true;
      ++to->kept;
    }
  }
  to->in_service = from->in_service;
  from->in_service = 0;
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
    w->linked = false;
    if (w->serving) {
      give_up_turn(s, w);
      FdWait* next = whose_turn(s, static_cast<FdTurn>(w->turn), ~0u);
      if (next != nullptr && (next->events & ~s->armed) != 0) arm(s, next->events, nullptr, &ended);
    }
    bool last = w->kept && --s->kept == 0;
    if (last) fd_forget(s);
    if (w->kept) w->gone = true;  // for a call that goes on after a handler
    w->kept = false;
    int fd = s->fd;
    s->lock.unlock();
    if (last) raw_syscall(SYS_close, fd);
  }
  run(&ended);
  leave();
}

FdWaits::FdWaits(FdWait* waits, int n)
    : Unfinished([](Unfinished* self) {
        auto* all = static_cast<FdWaits*>(self);
        end_waits(all->waits_, all->n_);
      }),
      waits_(waits),
      n_(n) {
  this_g()->unfinished = this;
}

void FdWaits::end() {
  end_waits(waits_, n_);
  this_g()->unfinished = nullptr;
}

}  // namespace mn
