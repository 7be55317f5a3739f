// SPDX-License-Identifier: Apache-2.0
// A slice is noted when it ends: then it is known why. What a thread waits for is read off its Waiter, which its
// bucket's lock keeps as it is until the commit function of the park has run. A wake-up has a number, which the woken G
// carries to the slice that it leads to.
//
// A thread that runs on without its P (in the kernel, or until it enters libmn and gets another) is on no P's track.
// Threads wired to a kernel thread of their own never are; what they wake comes out of nowhere, as what timers and
// descriptors wake.
#include "runtime/observe/recorder.h"

#include <pthread.h>
#include <string.h>

#include "runtime/os/clock.h"
#include "runtime/os/memory.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr uint32_t kPerPeriod = 500;
static_assert((kTraceRecords & (kTraceRecords - 1)) == 0);
constexpr uint32_t kMostPsBits = 8;  // the numbers of a P's wake-ups come again after 16 million
static_assert(kMaxProcs <= 1 << kMostPsBits);

bool push(TraceRing* ring, const TraceRecord& record) {
  if (ring->full()) return false;
  uint32_t head = ring->head.load(std::memory_order_relaxed);
  ring->records[head % kTraceRecords] = record;
  ring->head.store(head + 1, std::memory_order_release);  // pairs with recorder_read: the record is complete
  return true;
}

// The mutex cannot go while a thread waits for it.
uint32_t holder_of(const Waiter& w) {
  if (w.kind != WaitKind::kMutex) return 0;
  const auto* mutex = static_cast<const __pthread_mutex_s*>(w.key);
  return static_cast<uint32_t>(__atomic_load_n(&mutex->__owner, __ATOMIC_RELAXED));
}

void name_slice(TraceRecord* r, const TraceRing* ring, const G* g, SliceEnd how) {
  r->tid = g->tid;
  r->flow = ring->flow;
  r->how = how;
  memcpy(r->name, g->name, sizeof r->name);
}

void end_slice(TraceRing* ring, int64_t now, SliceEnd how) {
  const G* g = ring->g;
  TraceRecord r{ring->begin, now};
  name_slice(&r, ring, g, how);
  if (const Waiter* w = how == SliceEnd::kWaits ? g->waiter : nullptr) {
    r.kind = static_cast<uint8_t>(w->kind);
    r.key = w->key;
    r.holder = holder_of(*w);
  }
  if (!push(ring, r)) ++ring->skipped;
}

// Since `begin` nothing was noted. False: nor can this be.
bool end_gap(TraceRing* ring, int64_t now) {
  TraceRecord r{ring->begin, now};
  r.what = TraceWhat::kGap;
  r.count = ring->skipped;
  if (!push(ring, r)) return false;
  ring->skipped = 0;
  return true;
}

void begin_slice(TraceRing* ring, int64_t now, const G* g, uint32_t flow) {
  ring->g = g;
  ring->begin = now;
  ring->flow = flow;
}

void switched(M* m, G* prev, G* next, SliceEnd how) {
  TraceRing* ring = m->p->trace;
  int64_t now = now_ns();
  uint32_t flow = next->trace_flow;
  next->trace_flow = 0;
  if (ring->skipped != 0) {
    if (!end_gap(ring, now)) return;
  } else if (ring->g == prev) {
    end_slice(ring, now, how);
  }
  begin_slice(ring, now, next->system ? nullptr : next, flow);
}

void readied(P* p, G* g) {
  TraceRing* ring = p->trace;
  if (this_g()->system) return;
  TraceRecord r{now_ns()};
  r.what = TraceWhat::kWake;
  r.flow = ++ring->flows << kMostPsBits | static_cast<uint32_t>(p->id);
  r.tid = g->tid;
  push(ring, r);
  g->trace_flow = r.flow;
}

void lost(P* p) {
  TraceRing* ring = p->trace;
  if (ring->g == nullptr || ring->skipped != 0) return;
  int64_t now = now_ns();
  end_slice(ring, now, SliceEnd::kInKernel);
  begin_slice(ring, now, nullptr, 0);
}

void taken(M* m) {
  TraceRing* ring = m->p->trace;
  int64_t now = now_ns();
  if (ring->skipped != 0 && !end_gap(ring, now)) return;
  begin_slice(ring, now, m->cur->system ? nullptr : m->cur, 0);
}

}  // namespace

bool recorder_start() {
  for (int i = 0; i < sched.nprocs; ++i) {
    TraceRing*& ring = sched.ps[i]->trace;
    if (ring == nullptr) ring = static_cast<TraceRing*>(map_memory(round_up(sizeof(TraceRing), kPageSize)));
    if (ring == nullptr) return false;
    uint32_t head = ring->head.load(std::memory_order_relaxed);
    ring->tail = head;
    ring->limit.store(head + kTraceRecords, std::memory_order_relaxed);
    ring->skipped = 0;
    // The caller, which has forked; or an M to which sysmon gave its P meanwhile, and which may not run anybody yet.
    const M* m = sched.ps[i]->m.load(std::memory_order_relaxed);
    const G* g = m != nullptr ? m->cur : nullptr;
    begin_slice(ring, now_ns(), g != nullptr && !g->system ? g : nullptr, 0);
  }
  trace_hooks = {switched, readied, lost, taken};
  sched.observed.fetch_or(kTraced, std::memory_order_relaxed);  // the threads that are made next see all of it
  return true;
}

void recorder_stop() {
  sched.observed.fetch_and(~uint32_t{kTraced}, std::memory_order_relaxed);
}

bool recorder_unfinished(P* p, TraceRecord* r) {
  TraceRing* ring = p->trace;
  *r = TraceRecord{ring->begin, now_ns()};
  r->count = std::atomic_ref<uint64_t>(ring->skipped).load(std::memory_order_relaxed);
  if (r->count != 0) {
    r->what = TraceWhat::kGap;
    return true;
  }
  const G* g = std::atomic_ref<const G*>(ring->g).load(std::memory_order_relaxed);
  if (g == nullptr) return false;
  name_slice(r, ring, g, SliceEnd::kRuns);
  return true;
}

void recorder_read(P* p, void (*see)(const P* p, const TraceRecord& r)) {
  TraceRing* ring = p->trace;
  uint32_t head = ring->head.load(std::memory_order_acquire);  // Acquire: pairs with push.
  for (; ring->tail != head; ++ring->tail) see(p, ring->records[ring->tail % kTraceRecords]);
  uint32_t limit = ring->limit.load(std::memory_order_relaxed) + kPerPeriod, most = head + kTraceRecords;
  if (static_cast<int32_t>(limit - most) > 0) limit = most;
  ring->limit.store(limit, std::memory_order_release);  // pairs with TraceRing::full
}

}  // namespace mn
