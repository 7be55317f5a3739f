// SPDX-License-Identifier: Apache-2.0
// What the Ps note for MN_TRACE, in a ring each. The recorder (observe/recorder.cc) says what; this is where.
//
// A ring belongs to whoever holds its P, who alone writes `head`, `records` and the fields about the slice that has
// begun; ownership passes with the P. The observer reads records up to `head` and raises `limit` by as many as a P
// may note in a period, never further than there is room: so the trace is bounded in memory, in time (a switch that is
// not noted costs a comparison) and in size, and a burst is noted whole. What was not noted is counted, and shows as a
// gap.
//
// Rejected: noting every switch (the clock alone costs as much as a yield); overwriting the oldest (the observer would
// have to stop the writer, and a flood would hide what happened before it).
#pragma once

#include <atomic>
#include <cstdint>

namespace mn {

struct G;
struct M;
struct P;

enum class TraceWhat : uint8_t {
  kSlice,  // a G ran from `begin` to `end`
  kWake,   // a G woke another at `begin`
  kGap,    // from `begin` to `end`, `count` switches were not noted
};

// How a slice ended. kWaits: `kind` and `key` say for what. kRuns: it had not when the trace ended.
enum class SliceEnd : uint8_t { kWaits, kYields, kPreempted, kInKernel, kEnds, kRuns };

struct TraceRecord {
  int64_t begin = 0, end = 0;  // CLOCK_MONOTONIC, ns
  const void* key = nullptr;
  uint64_t count = 0;   // kGap
  uint32_t flow = 0;    // kSlice: the wake-up that led to it; kWake: its number; 0: none
  uint32_t tid = 0;     // G::tid; kWake: of the G that is woken
  uint32_t holder = 0;  // G::tid of the G that held what it waits for; 0: not known
  TraceWhat what = TraceWhat::kSlice;
  SliceEnd how = SliceEnd::kWaits;
  uint8_t kind = 0;  // WaitKind (sync/waitq.h)
  char name[16] = {};
};

constexpr uint32_t kTraceRecords = 32768;  // 3 MiB, touched as far as they are used

struct TraceRing {
  std::atomic<uint32_t> head{0};   // records written
  std::atomic<uint32_t> limit{0};  // what head may reach; the observer's
  uint32_t tail = 0;               // records read; the observer's
  uint64_t skipped = 0;            // switches since the last record that was refused
  int64_t begin = 0;               // of the slice that runs, or of the gap
  const G* g = nullptr;            // whose slice it is; null: nobody's
  uint32_t flow = 0;               // that led to it
  uint32_t flows = 0;              // wake-ups noted so far
  TraceRecord records[kTraceRecords];

  // Acquire: pairs with recorder_read; what will be overwritten has been read.
  bool full() const { return head.load(std::memory_order_relaxed) == limit.load(std::memory_order_acquire); }
};

// Set once, before the scheduler starts.
struct TraceHooks {
  void (*switched)(M* m, G* prev, G* next, SliceEnd how);
  void (*readied)(P* p, G* g);
  void (*lost)(P* p);   // by an M that is, or will be, asleep in the kernel; the caller has the P
  void (*taken)(M* m);  // an M has acquired a P
};
extern TraceHooks trace_hooks;

}  // namespace mn
