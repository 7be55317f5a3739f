// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/give_back.h"

#include "runtime/os/memory.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Guards P::free_gs where there are to be none. Before, each is its M's alone, which uses it inside.
constinit SpinLock g_flushing;

// Whether no M is in the middle of using p's list as its own. Called after a fence on all CPUs: an M that goes inside
// later knows that space is exact.
bool may_flush(const P* p) {
  const M* m = p->m.load(std::memory_order_acquire);  // Acquire: pairs with acquire_p.
  // Acquire: pairs with the release in leave().
  return m == nullptr || m->inside.load(std::memory_order_acquire) == 0 || m->spinning;
}

// Where one M is inside for long, its slots stay until it makes or ends a thread.
void flush_all(const M* self) {
  constexpr int kTries = 100;
  if (!fence_all()) return;
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i) {
    P* p = sched.ps[i];
    for (int tries = 0; p != self->p && !p->free_gs.empty() && !may_flush(p) && tries < kTries; ++tries) yield_cpu();
    if (p == self->p || may_flush(p)) flush_slots(p);
  }
}

void make_head(G* g) {
  unmap_stack(g);
  put_shared(head_class(), g);
}

void unmap_free(StackClass* c) {
  c->lock.lock();
  Stack<G, &G::next> all = c->free;
  c->free.clear();
  c->low_water = 0;
  trim_arena(c);
  c->lock.unlock();
  while (G* g = all.pop()) make_head(g);
}

void unmap_dry(StackClass* c) {
  SpinGuard guard(c->lock);
  while (!c->dry.empty() && c->bare.reserve()) {
    DrySlot record = c->dry.pop();
    auto top = reinterpret_cast<uintptr_t>(g_of_slot(c, record.slot)) & ~(kPageSize - 1);
    unmap_memory(record.slot, top - reinterpret_cast<uintptr_t>(record.slot));
    c->bare.push(record);
  }
}

}  // namespace

void flush_slots(P* p) {
  Stack<G, &G::next> all;
  {
    SpinGuard guard(g_flushing);
    while (G* g = p->free_gs.pop()) all.push(g);
  }
  while (G* g = all.pop()) put_shared(g->stack_class, g);
}

void gpool_share() {
  keep_no_local_slots();
  if (sched.started.load(std::memory_order_relaxed)) {
    flush_all(enter());
    return leave();
  }
  enter();
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i) flush_slots(sched.ps[i]);
  leave();
}

void give_back_reset_after_fork() {
  g_flushing.reset_after_fork();
}

void give_back_all(const M* m) {
  make_space_exact();
  flush_all(m);
  for_each_class([](StackClass* c) {
    if (c == head_class()) return;
    unmap_free(c);
    unmap_dry(c);
  });
}

// The class that has most loses first.
void give_back_surplus() {
  for (;;) {
    size_t kept = 0, most = 0;
    StackClass* from = nullptr;
    for_each_class([&](StackClass* c) {
      if (c == head_class()) return;
      c->lock.lock();
      size_t bytes = c->free.size() * own_stack_size(c);
      c->lock.unlock();
      kept += bytes;
      if (bytes > most) most = bytes, from = c;
    });
    if (kept <= most_kept()) return;
    from->lock.lock();
    G* g = from->free.pop();
    if (from->free.size() < from->low_water) from->low_water = from->free.size();
    from->lock.unlock();
    if (g != nullptr) make_head(g);
  }
}

}  // namespace mn
