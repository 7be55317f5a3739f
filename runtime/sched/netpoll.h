// SPDX-License-Identifier: Apache-2.0
// What the scheduler knows of descriptors: that threads wait for them, and whom to ask. The descriptors themselves are
// io/'s business (io/netpoll.h), which sets the hooks.
//
// Who looks: an M that finds no other work, without waiting, before it gives up its P; one idle M, the poller, which
// sleeps in the kernel until a descriptor is ready or the next timer is due; and, when all Ps have been busy for
// kNetpollPatience, the next P that switches, or an idle M that sysmon wakes for it when none does. So a busy server
// asks the kernel once for many descriptors, and one that computes leaves none unasked for longer than that.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>

#include "runtime/base/list.h"
#include "runtime/sched/g.h"

namespace mn {

constexpr int kNetpollEvents = 128;  // half a ring: more would go by way of the global queue

constexpr int64_t kNetpollPatience = 10 * 1000 * 1000;  // ns

struct Netpoll {
  std::atomic<int> waiting{0};      // waits that only a descriptor can end
  std::atomic<int64_t> last{0};     // CLOCK_MONOTONIC, when it was last asked
  std::atomic<M*> poller{nullptr};  // the M that sleeps in it; written under Sched::lock
  std::atomic<bool> due{false};     // set by sysmon: the next P that switches asks
  // What is ready, at most kNetpollEvents, having slept until `deadline` (CLOCK_MONOTONIC; 0: not at all) if nothing
  // was.
  int (*collect)(epoll_event* events, int64_t deadline) = nullptr;
  // The Gs whose waits these events end; the caller makes them runnable. Inside.
  Fifo<G, &G::next> (*dispatch)(const epoll_event* events, int n) = nullptr;
  // Makes what collect() needs, while no other thread could see a descriptor of its on the way to its number.
  void (*prepare)() = nullptr;
  // Ends the poller's sleep.
  void (*interrupt)() = nullptr;

  bool wanted() const { return waiting.load(std::memory_order_relaxed) != 0; }
  bool neglected(int64_t now) const {
    return wanted() && poller.load(std::memory_order_relaxed) == nullptr &&
           now - last.load(std::memory_order_relaxed) > kNetpollPatience;
  }
};

extern Netpoll netpoll;

void ready_events(const epoll_event* events, int n);  // makes those runnable who wait for them; inside

}  // namespace mn
