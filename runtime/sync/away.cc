// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/away.h"

#include <new>
#include <utility>

#include "runtime/os/memory.h"

namespace mn {
namespace {

// More than these at once, one in each other's handler, are few: some were left by a jump.
constexpr int kMostNested = 16;

constinit SpinLock g_lock;
constinit Stack<Away, &Away::outer> g_free;

Away* take_free() {
  SpinGuard guard(g_lock);
  return g_free.pop();
}

void unlink(Away* away) {
  Away** link = &away->g->away;
  while (*link != away) link = &(*link)->outer;
  *link = away->outer;
}

void leave_queue(Away* away, bool counts) {
  Bucket* b = bucket_of(away->key);
  SpinGuard guard(b->lock);
  if (away->state != WaitState::kAway) return;
  remove_waiter(b, away);
  away->state = WaitState::kInterrupted;
  if (counts) drop_counter(away->counter);
}

// Stacks grow down: what is deeper than the present wait is no more. (On the alternate stack that may not hold; but
// handlers do not nest so deep.)
void forget_left(G* g, const void* frame) {
  for (Away *away = g->away, *outer; away != nullptr; away = outer) {
    outer = away->outer;
    if (away->frame > frame) continue;
    leave_queue(away, false);
    free_away(away);
  }
}

}  // namespace

Away* new_away(const Waiter* w) {
  G* g = w->g;
  int nested = 0;
  for (const Away* away = g->away; away != nullptr; away = away->outer) ++nested;
  if (MN_UNLIKELY(nested > kMostNested)) forget_left(g, w);
  Away* away = take_free();
  if (away == nullptr) {
    static_assert(sizeof(Away) <= kPageSize);
    auto* page = static_cast<char*>(map_memory(kPageSize));
    if (page == nullptr) return nullptr;
    away = reinterpret_cast<Away*>(page);
    SpinGuard guard(g_lock);
    for (size_t at = sizeof(Away); at + sizeof(Away) <= kPageSize; at += sizeof(Away))
      g_free.push(new (page + at) Away);
  }
  new (away) Away;
  static_cast<Waiter&>(*away) = *w;
  away->state = WaitState::kAway;
  away->frame = w;
  away->outer = g->away;
  g->away = away;
  return away;
}

void free_away(Away* away) {
  unlink(away);
  SpinGuard guard(g_lock);
  g_free.push(away);
}

void forget_away(Away* away) {
  leave_queue(away, true);
  free_away(away);
}

void forget_aways(G* g) {
  while (Away* away = g->away) {
    leave_queue(away, false);
    free_away(away);
  }
}

void aways_reset_after_fork() {
  if (g_lock.reset_after_fork()) g_free = {};
}

MN_NOINLINE bool come_back(Bucket* b, Waiter* w, Away* away) {
  if (away->state == WaitState::kWoken) {
    w->state = WaitState::kWoken;
  } else if (w->state == WaitState::kTimedOut || (w->stays == Stays::kUntilCancelled && cancel_wanted(w->g))) {
    remove_waiter(b, away);
    drop_counter(w->counter);
    if (w->state == WaitState::kFresh) w->state = WaitState::kInterrupted;
  } else {
    replace_waiter(b, away, w);
  }
  free_away(away);
  return w->state == WaitState::kFresh;
}

MN_NOINLINE void go_away(Waiter* w) {
  Away* away = new_away(w);
  Bucket* b = bucket_of(w->key);
  SpinGuard guard(b->lock);
  if (w->state == WaitState::kWoken) {
    if (away != nullptr) free_away(away);
  } else if (away != nullptr) {
    replace_waiter(b, w, away);
  } else {
    remove_waiter(b, w);
    drop_counter(w->counter);
    w->state = WaitState::kInterrupted;
  }
}

}  // namespace mn
