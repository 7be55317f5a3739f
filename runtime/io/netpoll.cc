// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/netpoll.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <initializer_list>

#include "runtime/base/options.h"
#include "runtime/io/wait.h"
#include "runtime/os/clock.h"
#include "runtime/os/confined.h"
#include "runtime/sched/netpoll.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/fork.h"

namespace mn {
namespace {

constexpr int64_t kHealPeriod = kNsPerSec;
constexpr uint64_t kInterrupt = ~uint64_t{0};

// Written under g_lock; read without: a stale number makes the system call fail, which is how it is found.
constinit SpinLock g_lock;
constinit std::atomic<int> g_epoll{-1}, g_event{-1};
constinit std::atomic<int64_t> g_healed{0};
constinit std::atomic<unsigned> g_heal_turn{0};
constinit std::atomic<bool> g_heal_all{false};
constinit std::atomic<uint32_t> g_generation{0};  // of the epoll set; 0: there was none yet

int raised(long fd) {
  if (fd < 0) return -1;
  int high = fd_high_duplicate(static_cast<int>(fd));
  if (high < 0) return static_cast<int>(fd);
  raw_syscall(SYS_close, fd);
  return high;
}

bool make_locked() {
  int ep = raised(raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
  int ev = raised(raw_syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // never read: each write is an edge
  event.data.u64 = kInterrupt;
  bool made = ep >= 0 && ev >= 0 && raw_syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, ev, sys_arg(&event)) == 0;
  if (!made) {
    if (ep >= 0) raw_syscall(SYS_close, ep);
    if (ev >= 0) raw_syscall(SYS_close, ev);
    return false;
  }
  fd_state(ep);  // fd_closing() looks there first
  fd_state(ev);
  g_generation.fetch_add(1, std::memory_order_relaxed);
  g_epoll.store(ep, std::memory_order_relaxed);
  g_event.store(ev, std::memory_order_relaxed);
  return true;
}

int epoll_fd() {
  int ep = g_epoll.load(std::memory_order_relaxed);
  if (MN_LIKELY(ep >= 0)) return ep;
  SpinGuard guard(g_lock);
  if (g_epoll.load(std::memory_order_relaxed) < 0) make_locked();
  return g_epoll.load(std::memory_order_relaxed);
}

bool still_open(int fd) {
  return raw_syscall(SYS_fcntl, fd, F_GETFD) >= 0;
}

int control(int ep, int op, FdState* s, uint32_t events) {
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = uint64_t{s->era.load(std::memory_order_relaxed)} << 32 | static_cast<uint32_t>(s->fd);
  return static_cast<int>(-raw_syscall(SYS_epoll_ctl, ep, op, s->fd, sys_arg(&event)));
}

// A new set in place of `lost`, which the program closed. Waits are registered in it when they are next proved.
int replace(int lost) {
  SpinGuard guard(g_lock);
  if (g_epoll.load(std::memory_order_relaxed) == lost) {
    g_epoll.store(-1, std::memory_order_relaxed);
    if (int ev = g_event.exchange(-1, std::memory_order_relaxed); ev >= 0) raw_syscall(SYS_close, ev);
    make_locked();
    g_heal_all.store(true, std::memory_order_relaxed);
  }
  return g_epoll.load(std::memory_order_relaxed);
}

// Proves a share of the waits.
void heal(int64_t now) {
  bool all = g_heal_all.load(std::memory_order_relaxed) && g_heal_all.exchange(false, std::memory_order_relaxed);
  int64_t last = g_healed.load(std::memory_order_relaxed);
  bool periodic = (options.disable & kDisableHeal) == 0 && now - last >= kHealPeriod;
  if (!all && !(periodic && g_healed.compare_exchange_strong(last, now, std::memory_order_relaxed))) return;
  unsigned turn = g_heal_turn.fetch_add(1, std::memory_order_relaxed) % kFdShares;
  fd_for_each_waited(all ? kFdShares : 1, turn, [](FdState* s) {
    GList ended;
    s->lock.lock();
    fd_prove(s, &ended);
    s->lock.unlock();
    while (G* g = ended.pop_front()) ready(g, Place::kTail);
  });
}

// Inside.
void give_up() {
  means_lost.fetch_or(kReadiness, std::memory_order_relaxed);
  fd_for_each_waited(kFdShares, 0, [](FdState* s) {
    GList ended;
    s->lock.lock();
    fd_look_again(s, &ended);
    s->lock.unlock();
    while (G* g = ended.pop_front()) ready(g, Place::kTail);
  });
}

long wait_in_kernel(int ep, epoll_event* events, int64_t ns, bool sleeps) {
  timespec left = ns_timespec(ns);
  // An idle M takes no signals (idle.cc); the kernel changes the mask for as long as it sleeps.
  uint64_t mask = kAllMasked;
  long mask_arg = sleeps ? sys_arg(&mask) : 0;
  long n = raw_syscall(SYS_epoll_pwait2, ep, sys_arg(events), kNetpollEvents, sys_arg(&left), mask_arg, 8);
  if (MN_LIKELY(!refused(n))) return n;
  // Before Linux 5.11: milliseconds, rounded up.
  n = raw_syscall(SYS_epoll_pwait, ep, sys_arg(events), kNetpollEvents, (ns + 999999) / 1000000, mask_arg, 8);
  if (refused(n)) give_up();
  return n;
}

// Where there is no asking, the poller was told (netpoll_give_up).
void interrupt() {
  if (!may_use(kReadiness)) return;
  uint64_t one = 1;
  int ev = g_event.load(std::memory_order_relaxed);
  if (raw_syscall(SYS_write, ev, sys_arg(&one), sizeof one) == -EBADF) replace(g_epoll.load(std::memory_order_relaxed));
}

// An interruption is an edge, reported once: a P that only asked has taken what the sleeping poller is to be woken by.
void pass_on(const epoll_event* events, int n) {
  for (int i = 0; i < n; ++i)
    if (events[i].data.u64 == kInterrupt && netpoll.poller.load(std::memory_order_relaxed) != nullptr) interrupt();
}

int collect(epoll_event* events, int64_t deadline) {
  if (!may_use(kReadiness)) return 0;
  int ep = epoll_fd();
  int64_t now = now_ns();
  long n;
  for (;;) {
    netpoll.last.store(now, std::memory_order_relaxed);
    if (netpoll.due.load(std::memory_order_relaxed)) netpoll.due.store(false, std::memory_order_relaxed);
    int64_t until = deadline;
    if (deadline != 0) {
      if (!may_use(kReadiness)) return 0;
      heal(now);
      if (until > now + kHealPeriod) until = now + kHealPeriod;
    }
    n = wait_in_kernel(ep, events, until > now ? until - now : 0, deadline != 0);
    if (n != 0 || deadline == 0) break;
    // That it was only time to heal concerns nobody else: they sleep on.
    now = now_ns();
    if (now >= deadline) break;
  }
  if (n == -EBADF || n == -EINVAL) {
    replace(ep);
    heal(now);
  }
  if (deadline == 0) pass_on(events, static_cast<int>(n));
  return n < 0 ? 0 : static_cast<int>(n);
}

GList dispatch(const epoll_event* events, int n) {
  GList ended;
  for (int i = 0; i < n; ++i) {
    if (events[i].data.u64 == kInterrupt) continue;
    FdState* s = fd_state_if_any(static_cast<int>(events[i].data.u64));
    if (s == nullptr) continue;
    SpinGuard guard(s->lock);
    if (s->era.load(std::memory_order_relaxed) != events[i].data.u64 >> 32) continue;
    fd_report(s, events[i].events, &ended);
  }
  return ended;
}

}  // namespace

void netpoll_init() {
  fork_share_descriptors = fds_shared;
  fork_reset_descriptors = netpoll_reset_after_fork;
  netpoll.prepare = [] { epoll_fd(); };
  netpoll.collect = collect;
  netpoll.dispatch = dispatch;
  netpoll.interrupt = interrupt;
}

int netpoll_arm(FdState* s, uint32_t events, bool* another_file) {
  if (!may_use(kReadiness)) return EMFILE;
  int ep = epoll_fd();
  for (;;) {
    if (ep < 0) return EMFILE;
    uint32_t generation = g_generation.load(std::memory_order_relaxed);
    int error = control(ep, s->set == generation ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s, events);
    if (error == EEXIST) error = control(ep, EPOLL_CTL_MOD, s, events);
    if (error == EBADF && !still_open(ep)) {
      ep = replace(ep);
      continue;
    }
    if (error == ENOENT) {
      *another_file = true;
      error = control(ep, EPOLL_CTL_ADD, s, events);
    }
    if (error == EBADF) *another_file = true;
    s->set = error == 0 ? generation : 0;
    return error;
  }
}

bool netpoll_owns(int fd) {
  if (fd < 0) return false;
  if (fd == g_epoll.load(std::memory_order_relaxed) || fd == g_event.load(std::memory_order_relaxed)) return true;
  FdState* s = fd_state_if_any(fd);
  return s != nullptr && s->kept != 0;
}

void netpoll_give_way(int fd) {
  SpinGuard guard(g_lock);
  int ep = g_epoll.load(std::memory_order_relaxed), ev = g_event.load(std::memory_order_relaxed);
  if (fd != ep && fd != ev) return;
  if (!make_locked()) return;
  g_heal_all.store(true, std::memory_order_relaxed);
  uint64_t one = 1;
  raw_syscall(SYS_write, ev, sys_arg(&one), sizeof one);  // whoever sleeps in the old set goes to the new one
  raw_syscall(SYS_close, fd == ep ? ev : ep);
}

void netpoll_give_up() {
  constexpr int kTries = 1000;
  enter();
  give_up();
  // There is no new one. What it is woken by is an edge: told once, also before it sleeps.
  uint64_t one = 1;
  int ev = g_event.load(std::memory_order_relaxed);
  if (ev >= 0) raw_syscall(SYS_write, ev, sys_arg(&one), sizeof one);
  leave();
  // It is to be out of the kernel before the filter comes.
  for (int i = 0; i < kTries && netpoll.poller.load(std::memory_order_relaxed) != nullptr; ++i) yield_cpu();
}

void netpoll_reset_after_fork() {
  g_lock.reset_after_fork();
  // The set is shared with the parent: it must not be used, only closed.
  for (std::atomic<int>* of : {&g_epoll, &g_event})
    if (int fd = of->exchange(-1, std::memory_order_relaxed); fd >= 0 && may_use(kReadiness))
      raw_syscall(SYS_close, fd);
  netpoll.waiting.store(0, std::memory_order_relaxed);
  netpoll.due.store(false, std::memory_order_relaxed);
  netpoll.poller.store(nullptr, std::memory_order_relaxed);
  fds_reset_after_fork();
}

}  // namespace mn
