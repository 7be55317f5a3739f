// SPDX-License-Identifier: Apache-2.0
// See gpool.h. A slot is in one of these conditions:
//
//   raw    part of an arena, never used                      between StackClass::cursor and arena_end
//   used   belongs to a living thread                        nobody's list
//   free   TLS and TCB made, stack as the last thread left it     P::free_gs or StackClass::free
//   dry    memory returned to the system                     StackClass::dry; what must outlive it is in the record
//   head   free, without a stack                             the head class's StackClass::free
//   bare   dry, without a stack                              StackClass::bare
//
// What must outlive it is what libc keeps for the next thread (libc_state.h): malloc's cache would leak otherwise.
//
// Heads and bare slots are those of which the address space was given back; their uppermost pages stay mapped. A
// thread that gets one has its stack elsewhere (G::own_stack). Where space is not exact there are none, but that the
// program's own stacks go with heads.
#include "runtime/sched/gpool.h"

#include <errno.h>
#include <string.h>

#include <new>

#include "runtime/os/confined.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/stack_prot.h"
#include "runtime/os/tcb.h"
#include "runtime/os/tcb_list.h"
#include "runtime/sched/arena.h"
#include "runtime/sched/give_back.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constexpr unsigned kKeepFree = 128, kLocalFree = 64;
constexpr size_t kLargest = size_t{1} << 46;  // half of the address space
constexpr size_t kSystemStack = 64 * 1024;

constinit std::atomic<uint32_t> g_next_tid{kFakeTidBase};
constinit std::atomic<bool> g_scavenge{false};
constinit std::atomic<int64_t> g_last_scavenge{0};
constexpr int64_t kScavengePeriod = kNsPerSec;

G* adopt_slot(StackClass* c, char* slot) {
  G* g = new (g_of_slot(c, slot)) G;
  g->stack_class = g->home = c;
  g->slot = slot;
  g->tid = g_next_tid.fetch_add(1, std::memory_order_relaxed);
  return g;
}

// --- taking; inside. A G whose TCB is not made yet has tp == null.

G* take_kept(StackClass* c, DrySlot* was_dry) {
  SpinGuard guard(c->lock);
  if (G* g = c->free.pop()) {
    if (c->free.size() < c->low_water) c->low_water = c->free.size();
    return g;
  }
  if (!c->dry.empty()) {
    *was_dry = c->dry.pop();
    return adopt_slot(c, was_dry->slot);
  }
  char* slot = carve_slot(c);
  return slot != nullptr ? adopt_slot(c, slot) : nullptr;
}

// One that is larger, as libc would take it.
G* take_larger(const StackClass* c) {
  G* g = nullptr;
  for_each_class([&](StackClass* larger) {
    if (g != nullptr || larger->stack_size < c->stack_size || larger->guard_size < c->guard_size) return;
    SpinGuard guard(larger->lock);
    g = larger->free.pop();
  });
  return g;
}

G* take_new(StackClass* c) {
  SpinGuard guard(c->lock);
  if (c->cursor == c->arena_end && !new_arena(c)) return nullptr;
  char* slot = carve_slot(c);
  return slot != nullptr ? adopt_slot(c, slot) : nullptr;
}

G* take_bare(DrySlot* was_dry) {
  G* g = nullptr;
  for_each_class([&](StackClass* c) {
    SpinGuard guard(c->lock);
    if (g != nullptr || c->bare.empty()) return;
    *was_dry = c->bare.pop();
    g = adopt_slot(c, was_dry->slot);
    g->stack_class = head_class();
  });
  return g;
}

G* take_head(DrySlot* was_dry) {
  if (G* g = take_kept(head_class(), was_dry)) return g;
  if (G* g = take_bare(was_dry)) return g;
  return take_new(head_class());
}

G* take_with_own_stack(StackClass* c, const M* m, DrySlot* was_dry) {
  char* stack = map_stack(c);
  if (stack == nullptr) {
    give_back_all(m);
    stack = map_stack(c);
  }
  if (stack == nullptr) return nullptr;
  G* g = take_head(was_dry);
  if (g != nullptr) {
    g->stack_class = c;
    g->own_stack = stack;
  } else {
    unmap_memory(stack, own_stack_size(c));
  }
  return g;
}

G* take(StackClass* c, M* m, DrySlot* was_dry) {
  was_dry->slot = nullptr;
  bool local = is_local(c) && m->p != nullptr;
  if (local) {
    if (!m->p->free_gs.empty()) return m->p->free_gs.pop();
    SpinGuard guard(c->lock);
    for (unsigned i = 0; i < kLocalFree / 2 && c->free.size() > 1; ++i) m->p->free_gs.push(c->free.pop());
  } else if (MN_UNLIKELY(space_is_exact()) && m->p != nullptr) {
    flush_slots(m->p);
  }
  if (c == head_class()) return take_head(was_dry);
  if (G* g = take_kept(c, was_dry)) return g;
  if (MN_UNLIKELY(!may_use(kThreads)))
    if (G* g = take_larger(c); g != nullptr || !may_use(kTrials)) return g;
  if (!space_is_exact())
    if (G* g = take_new(c)) return g;
  return take_with_own_stack(c, m, was_dry);
}

// Forked: slots of threads that live in the parent alone have not been taken back.
constinit bool g_inherited = false;

// Counts forks, from one: libc's list begins anew in each child.
constinit uint32_t g_list_era = 1;

bool make_tls(G* g, const DrySlot& dry) {
  char* tcb = tcb_of_slot(g->home, g->slot);
  if (!tcb_create(tcb, static_cast<int>(g->tid))) return false;
  if (dry.slot != nullptr) libc_state_begin(tcb, dry.kept);
  g->tp = tcb;
  return true;
}

// But for sigpend: what was noted when the last thread had ended is for others (signals_begin, thread/route.h).
void reset_life(G* g) {
  g->m.store(nullptr, std::memory_order_relaxed);
  g->locks = 1;
  g->state = GState::kFree;
  g->wired = g->bound = g->particular = false;
  g->vforked = false;
  g->children = 0;
  g->delivering = false;
  g->cancelled.store(false, std::memory_order_relaxed);
  g->cancel_poke.store(false, std::memory_order_relaxed);
  g->cancel_held = 0;
  g->cancel_due = g->cancel_now = false;
  g->wait_key.store(nullptr, std::memory_order_relaxed);
  g->waiter = nullptr;
  g->guards = nullptr;
  g->unfinished = nullptr;
  g->sigwaits.store(0, std::memory_order_relaxed);
  g->sigsuspended = false;
  g->result = nullptr;
  g->life.store(0, std::memory_order_relaxed);
  g->joiner.store(nullptr, std::memory_order_relaxed);
  g->kernels_word.word.store(0, std::memory_order_relaxed);
}

// Some of those that stayed free since the last time, off libc's list.
Stack<G, &G::next> take_surplus(StackClass* c) {
  Stack<G, &G::next> taken;
  enter();
  c->lock.lock();
  unsigned room = c->dry.reserve() ? DryList::kEach : 0;
  for (; taken.size() < room && c->low_water > kKeepFree && !c->free.empty(); --c->low_water) taken.push(c->free.pop());
  if (taken.empty()) c->low_water = c->free.size();
  if (c->free.size() > 2 * kKeepFree) g_scavenge.store(true, std::memory_order_relaxed);
  c->lock.unlock();
  for (G* g = taken.top(); g != nullptr; g = g->next)
    if (g->tp != nullptr) gpool_unlist(g);
  leave();
  return taken;
}

void put_back(G* g) {
  enter();
  if (g->tp != nullptr) gpool_list(g);
  put_shared(g->stack_class, g);
  leave();
}

// Gives its memory back; nobody looks at it any more.
void dry(G* g) {
  StackClass* c = g->stack_class;
  if (c != g->home) return put_back(g);
  DrySlot record{g->slot, {}};
  if (g->tp != nullptr) {
    record.kept = libc_state_kept(g->tp);
    tcb_discard(g->tp);
  }
  advise_memory(record.slot + c->guard_size, c->stride - c->guard_size, MADV_DONTNEED);
  enter();
  c->lock.lock();
  c->dry.push(record);
  c->lock.unlock();
  leave();
}

}  // namespace

void put_shared(StackClass* c, G* g) {
  SpinGuard guard(c->lock);
  c->free.push(g);
  if (c->free.size() > 2 * kKeepFree) g_scavenge.store(true, std::memory_order_relaxed);
}

void gpool_init(bool allow_guard_install) {
  arenas_init(allow_guard_install);
}

G* gpool_get(size_t stack_size, size_t guard_size, void* user_stack) {
  if (stack_size > kLargest || guard_size > kLargest) return nullptr;
  StackClass* c;
  DrySlot dry;
  M* m = enter();
  c = find_class(user_stack != nullptr ? 0 : stack_size, user_stack != nullptr ? 0 : round_up(guard_size, kPageSize));
  G* g = c != nullptr ? take(c, m, &dry) : nullptr;
  leave();
  if (g == nullptr) return nullptr;
  if (g->tp != nullptr) {
    tcb_recycle(g->tp);
  } else if (!make_tls(g, dry)) {
    enter();
    put_shared(c, g);
    leave();
    return nullptr;
  }
  if (MN_UNLIKELY(g->listed != g_list_era)) {
    enter();
    gpool_list(g);
    leave();
  }
  reset_life(g);
  g_slot_of(g->tp) = g;
  g->user_stack = user_stack != nullptr;
  g->guard_size = c->guard_size;
  g->stack_size = stack_size;
  // A page's begin, as with glibc: TLS and TCB take more than what is added to the size for that.
  const StackClass* has = g->stack_class;
  char* top = g->own_stack != nullptr ? g->own_stack + own_stack_size(has) : g->slot + has->stride;
  g->stack_base = g->user_stack ? static_cast<char*>(user_stack) : top - round_up(stack_size, kPageSize);
  tcb_set_stack(g->tp, g->stack_base, g->stack_size);
  return g;
}

void gpool_put(G* g) {
  StackClass* c = g->stack_class;
  g->state = GState::kFree;
  P* p = this_g()->m.load(std::memory_order_relaxed)->p;
  if (is_local(c) && p != nullptr && p->free_gs.size() < kLocalFree) return p->free_gs.push(g);
  put_shared(c, g);
  if (MN_LIKELY(!space_is_exact())) return;
  if (p != nullptr) flush_slots(p);
  give_back_surplus();
}

G* gpool_get_system() {
  return gpool_get(kSystemStack, kPageSize, nullptr);
}

StackRange gpool_stack(const G* g) {
  if (g->user_stack) return {g->stack_base, g->stack_size};
  const StackClass* c = g->stack_class;
  if (g->own_stack != nullptr) return {g->own_stack + c->guard_size, own_stack_size(c) - c->guard_size};
  char* low = g->slot + c->guard_size;
  return {low, static_cast<size_t>(reinterpret_cast<const char*>(g) - low)};
}

size_t gpool_kept() {
  size_t n = 0;
  for_each_class([&](StackClass* c) {
    if (c == head_class()) return;
    SpinGuard guard(c->lock);
    size_t most = most_kept() / own_stack_size(c);
    n += c->free.size() < most ? c->free.size() : most;
  });
  return n;
}

void gpool_announce() {
  arenas_announce();
}

bool gpool_has_surplus() {
  return g_scavenge.load(std::memory_order_relaxed);
}

bool gpool_wants_scavenge() {
  return gpool_has_surplus() && now_ns() - g_last_scavenge.load(std::memory_order_relaxed) > kScavengePeriod;
}

void gpool_scavenge() {
  if (!may_use(kAdvice) || !may_use(kThreads)) return;
  g_scavenge.store(false, std::memory_order_relaxed);
  g_last_scavenge.store(now_ns(), std::memory_order_relaxed);
  for_each_class([](StackClass* c) {
    if (space_is_exact() && c != head_class()) return;  // what is kept is little
    for (;;) {
      Stack<G, &G::next> surplus = take_surplus(c);
      if (surplus.empty()) break;
      bool settled = tcb_list_settle();
      while (G* g = surplus.pop()) settled ? dry(g) : put_back(g);
      if (!settled) break;
    }
  });
}

void gpool_give_back() {
  if (!space_may_be_short()) return;
  give_back_all(enter());
  leave();
}

void gpool_for_each(void (*visit)(G* g, void* arg), void* arg) {
  for (Arena* a = first_arena(); a != nullptr; a = next_arena(a)) {
    StackClass* c = a->cls;
    char* end = a->end.load(std::memory_order_relaxed);
    if (end == c->arena_end) end = c->cursor;
    for (char* slot = a->base; slot < end; slot += c->stride) {
      G* g = g_of_slot(c, slot);
      if (g->slot == slot) visit(g, arg);
    }
  }
}

void gpool_list(G* g) {
  if (g->listed == g_list_era) return;
  tcb_list_add(g->tp);
  g->listed = g_list_era;
}

void gpool_unlist(G* g) {
  if (g->listed == g_list_era) tcb_list_remove(g->tp);
  g->listed = 0;
}

void gpool_reset_after_fork(G* self) {
  arenas_reset_after_fork();
  give_back_reset_after_fork();
  for_each_class([](StackClass* c) {
    if (!c->lock.reset_after_fork()) return;
    c->free.clear();
    c->low_water = 0;
    c->cursor = c->arena_end = nullptr;
    c->dry.clear();
    c->bare.clear();
  });
  ++g_list_era;
  tcb_list_reset_after_fork(self->slot != nullptr);
  stack_prot_reset_after_fork();
  self->listed = g_list_era;
  g_inherited = true;
}

// All lists are made anew, for every slot but main's is free. The ones whose threads were running, on other Ms, are
// given up: what they keep for the next thread, malloc's cache, may have been copied in the middle of a change.
void gpool_reclaim() {
  if (!g_inherited) return;
  g_inherited = false;
  for_each_class([](StackClass* c) { c->free.clear(); });
  gpool_for_each(
      [](G* g, void*) {
        if (g == sched.main_g || g->tp == nullptr) return;
        bool torn = g->state == GState::kRunning;
        g->state = GState::kFree;
        g->sigpend.store(0, std::memory_order_relaxed);
        g->policy = nullptr;
        g->priority = 0;
        tcb_set_tid(g->tp, static_cast<int>(g->tid));
        if (!torn) g->stack_class->free.push(g);
      },
      nullptr);
}

}  // namespace mn
