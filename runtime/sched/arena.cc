// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/arena.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <new>

#include "runtime/os/confined.h"
#include "runtime/os/stack_prot.h"
#include "runtime/os/tcb.h"

namespace mn {

constinit std::atomic<Arena*> arenas{nullptr};
constinit StackClass stack_classes[kMaxClasses];
constinit std::atomic<int> n_stack_classes{0};

namespace {

constexpr int kMadvGuardInstall = 102;
constexpr size_t kFirstArena = size_t{16} << 20, kLargestArena = size_t{1} << 30;
constexpr size_t kMostSlots = 4096;               // of an arena
constexpr size_t kLeastStack = 12 * 1024;         // what TLS must leave of a stack
constexpr size_t kFirstSlots = 8;                 // at most
constexpr size_t kLibcsCache = size_t{40} << 20;  // glibc.pthread.stack_cache_size
constexpr size_t kShareKept = 32;                 // of RLIMIT_AS, where that is more
// Guard markers live in page tables, which a larger guard would fill.
constexpr size_t kMostMarkers = size_t{2} << 20;

constinit SpinLock g_classes_lock;
constinit StackClass* g_local_class = nullptr;
constinit StackClass* g_head_class = nullptr;
constinit std::atomic<bool> g_guard_install{false};
constinit std::atomic<bool> g_executable{false};  // stacks were so when it was last looked at
constinit std::atomic<bool> g_exact{false};
constinit std::atomic<bool> g_shared{false};
constinit std::atomic<size_t> g_most_kept{kLibcsCache};

// Records of arenas, which must outlive them.
constinit SpinLock g_records_lock;
constinit Arena* g_records = nullptr;
constinit unsigned g_n_records = 0;

Arena* new_record() {
  SpinGuard guard(g_records_lock);
  if (g_n_records == 0) {
    g_records = static_cast<Arena*>(map_memory(kPageSize));
    if (g_records == nullptr) return nullptr;
    g_n_records = kPageSize / sizeof(Arena);
  }
  --g_n_records;
  return g_records++;
}

void set_shape(StackClass* c, size_t stack_size, size_t guard_size) {
  c->stack_size = stack_size;
  c->guard_size = guard_size;
  // As with glibc, TLS and TCB lie within the size that was asked for, unless little would be left of it.
  size_t ours = tcb_reserve() + sizeof(G) + kColours * kColourStep + 128;
  size_t least = ours + (stack_size != 0 ? kLeastStack : 0);
  c->stride = guard_size + round_up(stack_size > least ? stack_size : least, kPageSize);
  c->tcb_down = round_up(tcb_layout.size, kGAlign);
  c->tcb_align = tcb_layout.static_align < kGAlign ? kGAlign : tcb_layout.static_align;
  c->g_down = tcb_reserve() + sizeof(G) - tcb_layout.size;
}

bool limited(int resource) {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  raw_syscall(SYS_prlimit64, 0, resource, 0, sys_arg(&limit));
  return limit.rlim_cur != RLIM_INFINITY;
}

// Whether what is mapped is had at once: mlockall(MCL_FUTURE).
bool locks_memory() {
  void* page = map_memory(kPageSize);
  if (page == nullptr) return true;
  unsigned char resident = 0;
  raw_syscall(SYS_mincore, sys_arg(page), kPageSize, sys_arg(&resident));
  unmap_memory(page, kPageSize);
  return (resident & 1) != 0;
}

bool never_overcommits() {
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg("/proc/sys/vm/overcommit_memory"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char mode = '0';
  raw_syscall(SYS_read, fd, sys_arg(&mode), 1);
  raw_syscall(SYS_close, fd);
  return mode == '2';
}

bool is_limited() {
  return !may_use(kQuestions) || limited(RLIMIT_AS) || limited(RLIMIT_DATA) || locks_memory();
}

// Stacks became executable, and guards that are PROT_NONE with them.
MN_COLD void restore_guards() {
  g_executable.store(true, std::memory_order_relaxed);
  for (Arena* a = first_arena(); a != nullptr; a = next_arena(a)) {
    StackClass* c = a->cls;
    SpinGuard guard(c->lock);
    bool markers = g_guard_install.load(std::memory_order_relaxed) && c->guard_size <= kMostMarkers;
    if (c->guard_size == 0 || markers || space_is_exact()) continue;
    char* all = a->end.load(std::memory_order_relaxed);
    char* end = c->arena_end == all ? c->cursor : all;
    for (char* slot = a->base; slot < end; slot += c->stride) protect_memory(slot, c->guard_size, PROT_NONE);
  }
}

void announce(const Arena* a) {
  stack_prot_add(a->base, static_cast<size_t>(a->end.load(std::memory_order_relaxed) - a->base));
}

bool install_guard(char* low, size_t size) {
  if (size == 0) return true;
  if (size <= kMostMarkers && may_use(kAdvice) && g_guard_install.load(std::memory_order_relaxed)) {
    if (advise_memory(low, size, kMadvGuardInstall) == 0) return true;
    g_guard_install.store(false, std::memory_order_relaxed);  // a filter of the program's refuses it
  }
  return protect_memory(low, size, PROT_NONE) == 0;
}

StackClass* search(size_t stack_size, size_t guard_size, int from, int to) {
  for (int i = from; i < to; ++i)
    if (stack_classes[i].stack_size == stack_size && stack_classes[i].guard_size == guard_size)
      return &stack_classes[i];
  return nullptr;
}

// Out of classes: the smallest that is large enough serves.
StackClass* next_larger(size_t stack_size, size_t guard_size) {
  StackClass* best = nullptr;
  for (StackClass& c : stack_classes)
    if (c.stack_size >= stack_size && c.guard_size >= guard_size &&
        (best == nullptr || c.stack_size < best->stack_size))
      best = &c;
  return best;
}

// g_classes_lock held.
StackClass* add_class(size_t stack_size, size_t guard_size) {
  int n = n_stack_classes.load(std::memory_order_relaxed);
  if (n == kMaxClasses) return next_larger(stack_size, guard_size);
  StackClass* c = &stack_classes[n];
  set_shape(c, stack_size, guard_size);
  if (stack_size == 0)
    g_head_class = c;
  else if (g_local_class == nullptr && n > 1)
    g_local_class = c;
  // Release: pairs with the acquire in find_class; classes under the count are complete.
  n_stack_classes.store(n + 1, std::memory_order_release);
  return c;
}

}  // namespace

bool DryList::reserve() {
  if (top_ != nullptr && (n_ == 0 || top_->above != nullptr)) return true;
  auto* chunk = static_cast<Chunk*>(map_memory(round_up(sizeof(Chunk), kPageSize)));
  if (chunk == nullptr) return false;
  chunk->below = top_;
  if (top_ != nullptr)
    top_->above = chunk;
  else
    top_ = chunk;
  return true;
}

void DryList::push(const DrySlot& record) {
  if (n_ == kEach) {
    top_ = top_->above;
    n_ = 0;
  }
  top_->slots[n_++] = record;
}

DrySlot DryList::pop() {
  if (n_ == 0) {
    top_ = top_->below;
    n_ = kEach;
  }
  return top_->slots[--n_];
}

StackClass* find_class(size_t stack_size, size_t guard_size) {
  if (MN_UNLIKELY(stacks_are_executable() != g_executable.load(std::memory_order_relaxed))) restore_guards();
  int n = n_stack_classes.load(std::memory_order_acquire);  // Acquire: pairs with add_class.
  if (StackClass* c = search(stack_size, guard_size, 0, n)) return c;
  SpinGuard guard(g_classes_lock);
  int now = n_stack_classes.load(std::memory_order_relaxed);
  if (now == 0) {
    if (!may_use(kProc) || never_overcommits()) make_space_exact();
    add_class(0, 0);
    now = 1;
  }
  if (StackClass* c = search(stack_size, guard_size, n, now)) return c;
  return add_class(stack_size, guard_size);
}

StackClass* head_class() {
  return g_head_class;
}

bool is_local(const StackClass* c) {
  return c == g_local_class && !space_is_exact() && !g_shared.load(std::memory_order_relaxed);
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

char* carve_slot(StackClass* c) {
  if (c->cursor == c->arena_end) return nullptr;
  char* slot = c->cursor;
  if (!install_guard(slot, c->guard_size)) return nullptr;
  c->cursor += c->stride;
  return slot;
}

bool new_arena(StackClass* c) {
  if (!space_is_exact() && c != g_head_class && is_limited()) {
    make_space_exact();
    return false;
  }
  size_t first = kFirstArena / c->stride < kFirstSlots ? kFirstArena / c->stride : kFirstSlots;
  size_t slots = (c->reserved < kLargestArena ? c->reserved : kLargestArena) / c->stride;
  if (slots < first) slots = first;
  if (slots > kMostSlots) slots = kMostSlots;
  if (slots < 1 || space_is_exact()) slots = 1;
  Arena* record = new_record();
  if (record == nullptr) return false;
  const bool executable = stacks_are_executable();
  auto* base = static_cast<char*>(map_memory(slots * c->stride, executable));
  while (base == nullptr && slots > 1) {
    slots /= 2;
    base = static_cast<char*>(map_memory(slots * c->stride, executable));
  }
  if (base == nullptr) return false;
  if (slots > 1 && may_use(kAdvice)) advise_memory(base, slots * c->stride, MADV_NOHUGEPAGE);
  Arena* arena = new (record) Arena{nullptr, base, {base + slots * c->stride}, c};
  c->reserved += slots * c->stride;
  c->cursor = base;
  c->arena_end = base + slots * c->stride;
  std::atomic<Arena*>* link = &arenas;
  Arena* last = nullptr;
  // Release: pairs with first_arena and next_arena.
  while (!link->compare_exchange_strong(last, arena, std::memory_order_release)) {
    link = &last->next;
    last = nullptr;
  }
  if (!space_is_exact()) announce(arena);
  // A library that needs them so may have been loaded since.
  if (!executable && stacks_are_executable())
    protect_memory(base, slots * c->stride, PROT_READ | PROT_WRITE | PROT_EXEC);
  return true;
}

void trim_arena(StackClass* c) {
  char* from = c->cursor;
  auto size = static_cast<size_t>(c->arena_end - from);
  if (size == 0) return;
  for (Arena* a = first_arena(); a != nullptr; a = next_arena(a))
    if (a->cls == c && a->end.load(std::memory_order_relaxed) == c->arena_end)
      a->end.store(from, std::memory_order_relaxed);
  c->arena_end = from;
  c->reserved -= size;
  unmap_memory(from, size);
}

char* map_stack(const StackClass* c) {
  auto* low = static_cast<char*>(map_memory(own_stack_size(c), stacks_are_executable()));
  if (low == nullptr || install_guard(low, c->guard_size)) return low;
  unmap_memory(low, own_stack_size(c));
  return nullptr;
}

void unmap_stack(G* g) {
  const StackClass* c = g->stack_class;
  if (g->own_stack != nullptr) {
    unmap_memory(g->own_stack, own_stack_size(c));
  } else {
    auto top = reinterpret_cast<uintptr_t>(g) & ~(kPageSize - 1);
    unmap_memory(g->slot, top - reinterpret_cast<uintptr_t>(g->slot));
  }
  g->own_stack = nullptr;
  g->stack_class = g_head_class;
}

bool space_is_exact() {
  return g_exact.load(std::memory_order_relaxed);
}

bool space_may_be_short() {
  return space_is_exact() || limited(RLIMIT_AS) || limited(RLIMIT_DATA);
}

void make_space_exact() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (may_use(kQuestions)) raw_syscall(SYS_prlimit64, 0, RLIMIT_AS, 0, sys_arg(&limit));
  size_t share = limit.rlim_cur == RLIM_INFINITY ? 0 : limit.rlim_cur / kShareKept;
  g_most_kept.store(share > kLibcsCache ? share : kLibcsCache, std::memory_order_relaxed);
  g_exact.store(true, std::memory_order_relaxed);
}

void keep_no_local_slots() {
  g_shared.store(true, std::memory_order_relaxed);
}

size_t most_kept() {
  return g_most_kept.load(std::memory_order_relaxed);
}

void arenas_announce() {
  for (Arena* a = first_arena(); a != nullptr; a = next_arena(a)) announce(a);
}

void arenas_init(bool allow_guard_install) {
  g_executable.store(stacks_are_executable(), std::memory_order_relaxed);
  if (!allow_guard_install) return;
  void* probe = map_memory(kPageSize);
  if (probe == nullptr) return;
  g_guard_install.store(advise_memory(probe, kPageSize, kMadvGuardInstall) == 0, std::memory_order_relaxed);
  unmap_memory(probe, kPageSize);
}

void arenas_reset_after_fork() {
  if (g_classes_lock.reset_after_fork() && g_head_class != nullptr &&
      n_stack_classes.load(std::memory_order_relaxed) == 0)
    g_head_class = nullptr;  // a class that is not counted is made anew
  if (g_records_lock.reset_after_fork()) g_n_records = 0;
}

}  // namespace mn
