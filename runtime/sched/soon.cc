// SPDX-License-Identifier: Apache-2.0
// A G that is runnable and for which a signal has come: natively it handles that as soon as it gets a CPU, and the
// kernel gives it one within a slice or two, while here it may stand behind hundreds that compute. So it is found in
// its queue and becomes the caller's runnext: it runs when the caller next waits or has had its turn.
//
// Where it stands is not noted, for that would cost every ready() a store: the rings are looked at. From another P's
// ring it is taken as thieves take, with those that stand before it, which queue here then. What moves meanwhile is
// missed; the G runs in its turn.
#include "runtime/sched/sched.h"

namespace mn {
namespace {

using Ring = RunQueue<G, kRing>;

bool holds(const Ring& ring, const G* g) {
  uint32_t at = 0;
  while (const G* queued = ring.peek(at)) {
    if (queued == g) return true;
    ++at;
  }
  return false;
}

// By the P's M: goes round the ring once.
bool take_out(Ring* ring, const G* g) {
  bool found = false;
  for (uint32_t n = ring->ring_size(); n != 0; --n) {
    G* queued = ring->pop();
    if (queued == nullptr) break;
    if (queued == g)
      found = true;
    else
      ring->push(queued);
  }
  // Seq_cst: the submitter's fence (idle.cc): who looked meanwhile did not see them.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return found;
}

bool fetch_from_others(P* p, const G* g) {
  for (int i = 0; i < sched.nprocs; ++i) {
    P* other = sched.ps[i];
    if (other == p || !holds(other->runq, g)) continue;
    while (p->runq.ring_size() < kRing / 2) {
      G* last = p->runq.steal_from(other->runq);
      if (last == nullptr) return false;
      if (last == g) return true;
      p->runq.push(last);
      if (holds(p->runq, g)) return take_out(&p->runq, g);
    }
  }
  return false;
}

bool take_from_global(G* g) {
  if (sched.global_size.load(std::memory_order_relaxed) == 0) return false;
  SpinGuard guard(sched.lock);
  bool found = sched.global.remove(g);
  sched.global_size.store(sched.global.size(), std::memory_order_relaxed);
  return found;
}

}  // namespace

MN_NOINLINE void run_soon(G* g) {
  P* p = this_g()->m.load(std::memory_order_relaxed)->p;
  if (p == nullptr) return;
  bool taken = holds(p->runq, g) ? take_out(&p->runq, g) : take_from_global(g) || fetch_from_others(p, g);
  if (taken) ready(g, Place::kNext);
}

}  // namespace mn
