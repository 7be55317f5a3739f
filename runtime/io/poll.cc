// SPDX-License-Identifier: Apache-2.0
// poll and select ask the kernel first, unless that found nothing the last times (transfer.h: the registration tells,
// too). What is not ready they wait for as any other call does, one FdWait for each descriptor. poll takes netpoll's
// word for what has come; select, whose sets are clumsy, asks again.
//
// epoll_wait: a program has few threads in it, each the loop of an event-driven server, for which the kernel's own call
// is best: a few may block their Ms there (kMostInKernel). Further ones wait for the readiness of the program's epoll
// set, which costs two more system calls.
#include "runtime/io/poll.h"

#include <errno.h>
#include <string.h>

#include "runtime/io/block.h"
#include "runtime/io/transfer.h"
#include "runtime/io/wait.h"
#include "runtime/os/confined.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/sync/guard.h"
#include "runtime/sync/interrupt.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr int kMostInKernel = 8;
constexpr int kMostWaits = 1024;
constexpr int kWaitsOnStack = 8;

constinit std::atomic<int> g_in_epoll{0};

struct CountedInEpoll : Unfinished {
  bool counted = true;

  CountedInEpoll() : Unfinished([](Unfinished* self) { static_cast<CountedInEpoll*>(self)->uncount(); }) {
    g_in_epoll.fetch_add(1, std::memory_order_relaxed);
    this_g()->unfinished = this;
  }
  void uncount() {
    if (counted) g_in_epoll.fetch_sub(1, std::memory_order_relaxed);
    counted = false;
  }
  void end() {
    uncount();
    this_g()->unfinished = nullptr;
  }
};

// Even without waiting the kernel says EINTR where nothing is ready and a signal came. Of one that is ours, and of no
// handler, nobody is to know.
template <class Call>
long look_now(Call call) {
  Interruption before(self_g());
  for (;;) {
    long n = call();
    if (n != -EINTR || before.ends_wait(false)) return n;
  }
}

long look_at(pollfd* fds, nfds_t count) {
  return look_now([=] { return raw_syscall(SYS_poll, sys_arg(fds), static_cast<long>(count), 0); });
}

struct Poll {
  pollfd* fds;
  int count;
  const Deadline* deadline;
  FdWait* waits;
  uint32_t* want;
  pollfd* again;  // the same under the numbers that the descriptors have now
  std::atomic<bool> fired{false};
  long result = 0;

  // What netpoll says has come.
  long came() {
    long n = 0;
    for (int i = 0; i < count; ++i) {
      fds[i].revents = static_cast<short>(waits[i].got & static_cast<uint32_t>(fds[i].events | POLLERR | POLLHUP));
      n += fds[i].revents != 0 ? 1 : 0;
    }
    return n;
  }

  long look() {
    for (int i = 0; i < count; ++i) {
      FdWait* w = &waits[i];
      if (w->gone) {  // as the number stands now
        end_waits(w, 1);
        new (w) FdWait(fd_state(fds[i].fd));
        w->exclusive = false;
      }
      again[i] = {w->state.load(std::memory_order_relaxed)->fd, fds[i].events, 0};
    }
    long n = look_now([this] { return raw_syscall(SYS_poll, sys_arg(again), count, 0); });
    for (int i = 0; i < count; ++i) fds[i].revents = again[i].revents;
    return n;
  }
};

void wait_and_look(void* arg) {
  auto* p = static_cast<Poll*>(arg);
  Interruption before(this_g());
  for (;;) {
    int error = wait_for_any(p->waits, p->want, p->count, &p->fired, *p->deadline);
    p->result = -error;
    if (error == EINTR) {
      if (before.ends_wait(false)) return;
      cancellation_point();
    } else if (error == ETIMEDOUT) {
      if (!p->deadline->passed()) continue;
      p->result = p->look();  // the timer may have been looked at before the descriptors
      return;
    } else if (error == 0 || error == EBADF) {
      p->result = error == 0 ? p->came() : p->look();
      if (p->result != 0) return;
    } else {
      p->result = kUnpollable;
      return;
    }
  }
}

void undo_poll(void* arg) {
  cancel_unwound();
  static_cast<FdWaits*>(arg)->end();
}

long wait_with(Poll* p, char* memory) {
  p->waits = reinterpret_cast<FdWait*>(memory);
  p->again = reinterpret_cast<pollfd*>(memory + sizeof(FdWait) * static_cast<size_t>(p->count));
  p->want = reinterpret_cast<uint32_t*>(p->again + p->count);
  for (int i = 0; i < p->count; ++i) {
    FdState* s = fd_state(p->fds[i].fd);
    if (s == nullptr) return kUnpollable;
    new (&p->waits[i]) FdWait(s);
    p->waits[i].exclusive = false;
    p->want[i] = static_cast<uint16_t>(p->fds[i].events);
  }
  cancel_hold();
  FdWaits waits(p->waits, p->count);
  call_guarded(wait_and_look, p, undo_poll, &waits);
  waits.end();
  cancel_release();
  return p->result;
}

// Rounded up; -1: for ever.
int ms_until(const Deadline& deadline) {
  if (deadline.never()) return -1;
  int64_t left = deadline.at == 0 ? 0 : deadline.monotonic() - now_ns();
  return left <= 0 ? 0 : static_cast<int>((left + 999999) / 1000000);
}

constexpr size_t kBytesEach = sizeof(FdWait) + sizeof(pollfd) + sizeof(uint32_t);

long wait_for(pollfd* fds, int count, const Deadline& deadline) {
  Poll p{fds, count, &deadline, nullptr, nullptr, nullptr};
  if (count <= kWaitsOnStack) {
    alignas(FdWait) char memory[kBytesEach * kWaitsOnStack];
    return wait_with(&p, memory);
  }
  size_t size = round_up(kBytesEach * static_cast<size_t>(count), kPageSize);
  auto* memory = static_cast<char*>(map_memory(size));
  if (memory == nullptr) return kUnpollable;
  struct Unmap {
    void* memory;
    size_t size;
  } unmap{memory, size};
  struct Call {
    Poll* poll;
    char* memory;
    long result;
  } call{&p, memory, 0};
  auto undo = [](void* arg) { unmap_memory(static_cast<Unmap*>(arg)->memory, static_cast<Unmap*>(arg)->size); };
  call_guarded(
      [](void* arg) {
        auto* c = static_cast<Call*>(arg);
        c->result = wait_with(c->poll, c->memory);
        cancel_hold();
      },
      &call, undo, &unmap);
  undo(&unmap);
  cancel_release();
  return call.result;
}

}  // namespace

long io_poll(pollfd* fds, nfds_t count, const Deadline& deadline) {
  FdState* first = count != 0 && count <= kWaitsOnStack && deadline.at != 0 ? fd_state(fds[0].fd) : nullptr;
  long n = 0;
  if (first == nullptr || !expects_to_wait(&first->poll_misses)) {
    n = look_at(fds, count);
    if (first != nullptr) note_attempt(&first->poll_misses, n == 0);
  }
  if (n != 0 || deadline.at == 0) return n;
  if (count > kMostWaits) return kUnpollable;
  // Negative numbers are left out: what is waited for is a dense copy.
  auto all = static_cast<int>(count);
  int used = 0;
  for (int i = 0; i < all; ++i) used += fds[i].fd >= 0 ? 1 : 0;
  if (used == all && all != 0) return wait_for(fds, all, deadline);
  pollfd dense[kWaitsOnStack];
  if (used > kWaitsOnStack) return kUnpollable;
  int at[kWaitsOnStack];
  for (int i = 0, j = 0; i < all; ++i)
    if (fds[i].fd >= 0) dense[j] = fds[i], at[j++] = i;
  n = wait_for(dense, used, deadline);
  for (int j = 0; j < used; ++j) fds[at[j]].revents = dense[j].revents;
  return n;
}

long io_select(int count, fd_set* read, fd_set* write, fd_set* except, const Deadline& deadline) {
  if (count < 0) return -EINVAL;
  // fd_sets may be larger than FD_SETSIZE: the kernel looks at `count` bits only, and so do we.
  size_t words = (static_cast<size_t>(count) + 63) / 64;
  constexpr size_t kWords = FD_SETSIZE / 64;
  if (words > kWords) return kUnpollable;
  fd_set* sets[3] = {read, write, except};
  uint64_t asked[3][kWords] = {};
  for (int i = 0; i < 3; ++i)
    if (sets[i] != nullptr) memcpy(asked[i], sets[i], words * 8);
  auto restore = [&] {
    for (int i = 0; i < 3; ++i)
      if (sets[i] != nullptr) memcpy(sets[i], asked[i], words * 8);
  };
  auto look = [&] {
    timeval none{};
    restore();
    return look_now(
        [&] { return raw_syscall(SYS_select, count, sys_arg(read), sys_arg(write), sys_arg(except), sys_arg(&none)); });
  };
  long n = look();
  if (n != 0 || deadline.at == 0) return n;
  pollfd fds[kWaitsOnStack];
  int used = 0;
  for (int fd = 0; fd < count; ++fd) {
    short events = 0;
    auto has = [&](int set) { return (asked[set][fd / 64] >> (fd % 64) & 1) != 0; };
    if (has(0)) events |= POLLIN | POLLRDNORM | POLLRDBAND;
    if (has(1)) events |= POLLOUT | POLLWRNORM | POLLWRBAND;
    if (has(2)) events |= POLLPRI;
    if (events == 0) continue;
    if (used == kWaitsOnStack) {
      restore();
      return kUnpollable;
    }
    fds[used++] = {fd, events, 0};
  }
  for (;;) {
    n = wait_for(fds, used, deadline);
    if (n < 0) restore();  // a call that fails leaves the sets as they were
    if (n <= 0) return n;
    n = look();
    if (n != 0) return n;
  }
}

long io_epoll_wait(int epfd, epoll_event* events, int most, const Deadline& deadline, const timespec* exact) {
  FdState* state = deadline.at != 0 ? fd_state(epfd) : nullptr;
  long n = 0;
  if (state == nullptr || !expects_to_wait(&state->poll_misses)) {
    n = raw_syscall(SYS_epoll_wait, epfd, sys_arg(events), most, 0);
    if (state != nullptr) note_attempt(&state->poll_misses, n == 0);
  }
  if (n != 0 || deadline.at == 0) return n;
  if (g_in_epoll.load(std::memory_order_relaxed) < kMostInKernel) {
    struct Call {
      int epfd;
      epoll_event* events;
      int most;
      int ms;
      const timespec* exact;
      long result;
    } call{epfd, events, most, ms_until(deadline), exact, 0};
    cancel_hold();
    CountedInEpoll counted;
    call_guarded(
        [](void* arg) {
          auto* c = static_cast<Call*>(arg);
          cancel_release();
          c->result = blocking([c] {
            return c->exact != nullptr ? real.epoll_pwait2(c->epfd, c->events, c->most, c->exact, nullptr)
                                       : real.epoll_wait(c->epfd, c->events, c->most, c->ms);
          });
          cancel_hold();
        },
        &call, [](void* arg) { static_cast<CountedInEpoll*>(arg)->end(); }, &counted);
    counted.end();
    cancel_release();
    return call.result;
  }
  pollfd fd{epfd, POLLIN, 0};
  for (;;) {
    n = wait_for(&fd, 1, deadline);
    if (n <= 0) return n;
    n = raw_syscall(SYS_epoll_wait, epfd, sys_arg(events), most, 0);
    if (n != 0) return n;
  }
}

namespace {

template <class Call>
long masked(const sigset_t* mask, Call call) {
  auto run = [](const uint64_t* during, void* arg) { return (*static_cast<Call*>(arg))(during); };
  return signal_masked_call(mask, run, &call);
}

}  // namespace

// What is ready already comes before any signal.
long io_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  cancellation_point();
  long n = may_use(kReadiness) ? look_at(fds, count) : 0;
  if (n != 0 && !refused(n)) return n;
  timespec left = timeout != nullptr ? *timeout : timespec{};
  return masked(mask, [&](const uint64_t* during) {
    return raw_syscall(SYS_ppoll, sys_arg(fds), static_cast<long>(count), timeout != nullptr ? sys_arg(&left) : 0,
                       sys_arg(during), 8);
  });
}

long io_pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout, const sigset_t* mask) {
  timespec left = timeout != nullptr ? *timeout : timespec{};
  return masked(mask, [&](const uint64_t* during) {
    struct {
      const uint64_t* mask;
      size_t size;
    } sixth{during, 8};
    return raw_syscall(SYS_pselect6, count, sys_arg(read), sys_arg(write), sys_arg(except),
                       timeout != nullptr ? sys_arg(&left) : 0, sys_arg(&sixth));
  });
}

long io_epoll_pwait(int epfd, epoll_event* events, int most, const Deadline& deadline, const sigset_t* mask) {
  cancellation_point();
  long n = may_use(kReadiness) ? raw_syscall(SYS_epoll_wait, epfd, sys_arg(events), most, 0) : 0;
  if (n != 0 && !refused(n)) return n;
  return masked(mask, [&](const uint64_t* during) {
    return raw_syscall(SYS_epoll_pwait, epfd, sys_arg(events), most, ms_until(deadline), sys_arg(during), 8);
  });
}

long io_epoll_pwait2(int epfd, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask) {
  cancellation_point();
  long n = may_use(kReadiness) ? raw_syscall(SYS_epoll_wait, epfd, sys_arg(events), most, 0) : 0;
  if (n != 0 && !refused(n)) return n;
  return masked(mask, [&](const uint64_t* during) {
    return raw_syscall(SYS_epoll_pwait2, epfd, sys_arg(events), most, sys_arg(timeout), sys_arg(during), 8);
  });
}

}  // namespace mn
