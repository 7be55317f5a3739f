// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/give_back.h"

#include "runtime/os/memory.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Those of a P that runs something are flushed when it next makes or ends a thread.
void flush_local(const M* m) {
  if (m->p != nullptr) flush_slots(m->p);
  Stack<G, &G::next> all;
  sched.lock.lock();
  for (P* p = sched.idle_ps; p != nullptr; p = p->next_idle)
    while (G* g = p->free_gs.pop()) all.push(g);
  sched.lock.unlock();
  while (G* g = all.pop()) put_shared(g->stack_class, g);
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
  while (G* g = p->free_gs.pop()) put_shared(g->stack_class, g);
}

void give_back_all(const M* m) {
  make_space_exact();
  flush_local(m);
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
