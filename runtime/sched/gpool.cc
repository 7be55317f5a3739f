// SPDX-License-Identifier: Apache-2.0
// See gpool.h. A slot is in one of four conditions:
//
//   raw    part of an arena, never used                      between StackClass::cursor and arena_end
//   used   belongs to a living thread                        nobody's list
//   free   TLS and TCB made, stack as the last thread left it     P::free_gs or StackClass::free
//   dry    memory returned to the system                     StackClass::dry; what must outlive it is in the record
//
// What must outlive it is what libc keeps for the next thread (libc_state.h): malloc's cache would leak otherwise.
#include "runtime/sched/gpool.h"

#include <errno.h>
#include <string.h>

#include <new>

#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/stack_prot.h"
#include "runtime/os/tcb.h"
#include "runtime/os/tcb_list.h"
#include "runtime/sched/arena.h"
#include "runtime/sched/sched.h"

namespace mn {

constinit std::atomic<Arena*> arenas{nullptr};

namespace {

constexpr int kMadvGuardInstall = 102;
constexpr int kMaxClasses = 256;
constexpr size_t kArenaBytes = size_t{1} << 30;
constexpr size_t kArenaSlots = 64;
constexpr unsigned kKeepFree = 128, kLocalFree = 64;
constexpr unsigned kMaxDry = 1u << 22;
constexpr size_t kLargest = size_t{1} << 46;  // half of the address space
constexpr size_t kSystemStack = 64 * 1024;
constexpr size_t kLeastStack = 12 * 1024;  // what TLS must leave of a stack

constinit StackClass g_classes[kMaxClasses];
constinit std::atomic<int> g_n_classes{0};
constinit SpinLock g_classes_lock;
// The one class of which Ps keep slots of their own: the first that the program asks for, hence nearly always its
// default.
constinit StackClass* g_local_class = nullptr;
// Guard markers live in page tables, which a larger guard would fill.
constexpr size_t kMostMarkers = size_t{2} << 20;
constinit bool g_guard_install = false;
constinit bool g_executable = false;  // stacks were so when it was last looked at
constexpr int kReadWriteExecute = PROT_READ | PROT_WRITE | PROT_EXEC;
constinit std::atomic<uint32_t> g_next_tid{kFakeTidBase};
constinit std::atomic<bool> g_scavenge{false};
constinit std::atomic<int64_t> g_last_scavenge{0};
constexpr int64_t kScavengePeriod = kNsPerSec;

void set_shape(StackClass* c) {
  c->tcb_down = round_up(tcb_layout.size, kGAlign);
  c->tcb_align = tcb_layout.static_align < kGAlign ? kGAlign : tcb_layout.static_align;
  c->g_down = tcb_reserve() + sizeof(G) - tcb_layout.size;
}

StackClass* find_class(size_t stack_size, size_t guard_size) {
  auto search = [&](int from, int to) -> StackClass* {
    for (int i = from; i < to; ++i)
      if (g_classes[i].stack_size == stack_size && g_classes[i].guard_size == guard_size) return &g_classes[i];
    return nullptr;
  };
  // Acquire: pairs with the release below; classes under the count are complete.
  int n = g_n_classes.load(std::memory_order_acquire);
  if (StackClass* c = search(0, n)) return c;
  SpinGuard guard(g_classes_lock);
  int now = g_n_classes.load(std::memory_order_relaxed);
  if (StackClass* c = search(n, now)) return c;
  if (now == 1) g_local_class = &g_classes[1];  // the first is the runtime's own
  if (now == kMaxClasses) {
    // Out of classes: the smallest that is large enough serves.
    StackClass* best = nullptr;
    for (StackClass& c : g_classes)
      if (c.stack_size >= stack_size && c.guard_size >= guard_size &&
          (best == nullptr || c.stack_size < best->stack_size))
        best = &c;
    return best;
  }
  StackClass* c = &g_classes[now];
  c->stack_size = stack_size;
  c->guard_size = guard_size;
  // As with glibc, TLS and TCB lie within the size that was asked for, unless little would be left of it.
  size_t ours = tcb_reserve() + sizeof(G) + kColours * kColourStep + 128;
  size_t least = ours + kLeastStack;
  c->stride = guard_size + round_up(stack_size > least ? stack_size : least, kPageSize);
  set_shape(c);
  g_n_classes.store(now + 1, std::memory_order_release);  // Release: see above.
  return c;
}

char* tcb_of_slot(const StackClass* c, char* slot) {
  size_t index = reinterpret_cast<uintptr_t>(slot) / c->stride;
  char* top = slot + c->stride - (index % kColours) * kColourStep;
  return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(top - c->tcb_down) & ~(c->tcb_align - 1));
}

G* g_of_slot(const StackClass* c, char* slot) {
  char* low = tcb_of_slot(c, slot) - c->g_down;
  return reinterpret_cast<G*>(reinterpret_cast<uintptr_t>(low) & ~(kGAlign - 1));
}

bool install_guard(char* slot, size_t size) {
  if (size == 0) return true;
  if (g_guard_install && size <= kMostMarkers) return advise_memory(slot, size, kMadvGuardInstall) == 0;
  return protect_memory(slot, size, PROT_NONE) == 0;
}

void announce(Arena* arena) {
  stack_prot_add(arena->base, static_cast<size_t>(arena->end - arena->base));
}

// Stacks became executable, and guards that are PROT_NONE with them.
MN_COLD void restore_guards() {
  g_executable = true;
  // Acquire: pairs with new_arena.
  for (Arena* a = arenas.load(std::memory_order_acquire); a != nullptr; a = a->next) {
    StackClass* c = a->cls;
    SpinGuard guard(c->lock);
    if (c->guard_size == 0 || (g_guard_install && c->guard_size <= kMostMarkers)) continue;
    char* end = c->arena_end == a->end ? c->cursor : a->end;
    for (char* slot = a->base; slot < end; slot += c->stride) protect_memory(slot, c->guard_size, PROT_NONE);
  }
}

bool new_arena_locked(StackClass* c) {
  size_t slots = kArenaBytes / c->stride;
  if (slots < 1) slots = 1;
  if (slots > kArenaSlots * 64) slots = kArenaSlots * 64;
  size_t header = kPageSize;
  const bool executable = stacks_are_executable();
  auto* base = static_cast<char*>(map_memory(header + slots * c->stride, executable));
  while (base == nullptr && slots > 1) {
    slots /= 2;
    base = static_cast<char*>(map_memory(header + slots * c->stride, executable));
  }
  if (base == nullptr) return false;
  advise_memory(base, header + slots * c->stride, MADV_NOHUGEPAGE);
  auto* arena = new (base) Arena{nullptr, base + header, base + header + slots * c->stride, c};
  c->cursor = arena->base;
  c->arena_end = arena->end;
  Arena* head = arenas.load(std::memory_order_relaxed);
  do arena->next = head;
  while (!arenas.compare_exchange_weak(head, arena, std::memory_order_release));  // Release: pairs with for_each.
  announce(arena);
  // A library that needs them so may have been loaded since.
  if (!executable && stacks_are_executable()) protect_memory(base, header + slots * c->stride, kReadWriteExecute);
  return true;
}

G* adopt_slot(StackClass* c, char* slot) {
  G* g = new (g_of_slot(c, slot)) G;
  g->stack_class = c;
  g->slot = slot;
  g->guard_size = c->guard_size;
  g->tid = g_next_tid.fetch_add(1, std::memory_order_relaxed);
  return g;
}

// Inside. A G whose TCB is not made yet has tp == null.
G* take(StackClass* c, M* m, DrySlot* was_dry) {
  was_dry->slot = nullptr;
  bool local = c == g_local_class && m->p != nullptr;
  if (local && !m->p->free_gs.empty()) return m->p->free_gs.pop();
  SpinGuard guard(c->lock);
  if (!c->free.empty()) {
    if (local)
      for (unsigned i = 0; i < kLocalFree / 2 && c->free.size() > 1; ++i) m->p->free_gs.push(c->free.pop());
    G* g = c->free.pop();
    if (c->free.size() < c->low_water) c->low_water = c->free.size();
    return g;
  }
  if (c->n_dry != 0) {
    *was_dry = c->dry[--c->n_dry];
    return adopt_slot(c, was_dry->slot);
  }
  if (c->cursor == c->arena_end && !new_arena_locked(c)) return nullptr;
  char* slot = c->cursor;
  if (!install_guard(slot, c->guard_size)) return nullptr;
  c->cursor += c->stride;
  return adopt_slot(c, slot);
}

void put_shared(StackClass* c, G* g) {
  SpinGuard guard(c->lock);
  c->free.push(g);
  if (c->free.size() > 2 * kKeepFree) g_scavenge.store(true, std::memory_order_relaxed);
}

// Forked: slots of threads that live in the parent alone have not been taken back.
constinit bool g_inherited = false;

// Counts forks, from one: libc's list begins anew in each child.
constinit uint32_t g_list_era = 1;

bool make_tls(G* g, const DrySlot& dry) {
  StackClass* c = g->stack_class;
  char* tcb = tcb_of_slot(c, g->slot);
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
  constexpr unsigned kAtOnce = 256;
  Stack<G, &G::next> taken;
  enter();
  c->lock.lock();
  if (c->dry == nullptr) c->dry = static_cast<DrySlot*>(map_memory(sizeof(DrySlot) * kMaxDry));
  unsigned room = c->dry != nullptr ? kMaxDry - c->n_dry : 0;
  if (room > kAtOnce) room = kAtOnce;
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
  DrySlot record{g->slot, {}};
  if (g->tp != nullptr) {
    record.kept = libc_state_kept(g->tp);
    tcb_discard(g->tp);
  }
  advise_memory(record.slot + c->guard_size, c->stride - c->guard_size, MADV_DONTNEED);
  enter();
  c->lock.lock();
  c->dry[c->n_dry++] = record;
  c->lock.unlock();
  leave();
}

}  // namespace

void gpool_init(bool allow_guard_install) {
  g_executable = stacks_are_executable();
  if (!allow_guard_install) return;
  void* probe = map_memory(kPageSize);
  if (probe == nullptr) return;
  g_guard_install = advise_memory(probe, kPageSize, kMadvGuardInstall) == 0;
  unmap_memory(probe, kPageSize);
}

G* gpool_get(size_t stack_size, size_t guard_size, void* user_stack) {
  if (stack_size > kLargest || guard_size > kLargest) return nullptr;
  StackClass* c;
  DrySlot dry;
  M* m = enter();
  c = user_stack != nullptr ? find_class(0, 0) : find_class(stack_size, round_up(guard_size, kPageSize));
  if (MN_UNLIKELY(stacks_are_executable() != g_executable)) restore_guards();
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
  // A page's begin, as with glibc: TLS and TCB take more than what is added to the size for that.
  g->stack_base =
      g->user_stack ? static_cast<char*>(user_stack) : g->slot + c->stride - round_up(stack_size, kPageSize);
  g->stack_size = stack_size;
  tcb_set_stack(g->tp, g->stack_base, g->stack_size);
  return g;
}

void gpool_put(G* g) {
  StackClass* c = g->stack_class;
  g->state = GState::kFree;
  P* p = this_g()->m.load(std::memory_order_relaxed)->p;
  if (c == g_local_class && p != nullptr && p->free_gs.size() < kLocalFree) return p->free_gs.push(g);
  put_shared(c, g);
}

G* gpool_get_system() {
  return gpool_get(kSystemStack, kPageSize, nullptr);
}

size_t gpool_stack_bytes(const G* g) {
  if (g->user_stack) return g->stack_size;
  return static_cast<size_t>(reinterpret_cast<const char*>(g) - g->stack_base);
}

void gpool_announce() {
  for (Arena* a = arenas.load(std::memory_order_relaxed); a != nullptr; a = a->next) announce(a);
}

bool gpool_has_surplus() {
  return g_scavenge.load(std::memory_order_relaxed);
}

bool gpool_wants_scavenge() {
  return gpool_has_surplus() && now_ns() - g_last_scavenge.load(std::memory_order_relaxed) > kScavengePeriod;
}

void gpool_scavenge() {
  g_scavenge.store(false, std::memory_order_relaxed);
  g_last_scavenge.store(now_ns(), std::memory_order_relaxed);
  int n = g_n_classes.load(std::memory_order_acquire);  // Acquire: pairs with find_class.
  for (int i = 0; i < n; ++i) {
    StackClass* c = &g_classes[i];
    for (;;) {
      Stack<G, &G::next> surplus = take_surplus(c);
      if (surplus.empty()) break;
      bool settled = tcb_list_settle();
      while (G* g = surplus.pop()) settled ? dry(g) : put_back(g);
      if (!settled) return;
    }
  }
}

void gpool_for_each(void (*visit)(G* g, void* arg), void* arg) {
  // Acquire: pairs with new_arena.
  for (Arena* a = arenas.load(std::memory_order_acquire); a != nullptr; a = a->next) {
    StackClass* c = a->cls;
    char* end = c->arena_end == a->end ? c->cursor : a->end;
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
  g_classes_lock.reset_after_fork();  // a class that is not counted is made anew
  for (int i = 0; i < g_n_classes.load(std::memory_order_relaxed); ++i) {
    StackClass* c = &g_classes[i];
    if (!c->lock.reset_after_fork()) continue;
    c->free.clear();
    c->low_water = 0;
    c->cursor = c->arena_end = nullptr;
    c->n_dry = 0;
  }
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
  for (int i = 0; i < g_n_classes.load(std::memory_order_relaxed); ++i) g_classes[i].free.clear();
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
