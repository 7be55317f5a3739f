// SPDX-License-Identifier: Apache-2.0
// Address space of slots (gpool.h): how they lie in memory, which observers outside the process work out, too
// (observe/layout.cc), and how much of it is taken.
//
// An arena is a run of slots of one class. The first of a class is small, each later one as large as all before it
// together, up to kLargestArena: a program with one thread takes 16 MiB more than natively, one with many takes less
// than twice what its stacks take.
//
// Where address space or memory is limited (RLIMIT_AS, RLIMIT_DATA, vm.overcommit_memory=2, mlockall), nothing is taken
// ahead of need: space is *exact*. A thread then has a head, which is a slot of the class without a stack, and a stack
// that is mapped by itself and unmapped again, so that what the limit leaves is what it leaves natively. Limits are
// looked for before each arena, since a program may set one at any time, and space becomes exact for good when there is
// one or an arena cannot be had. Rejected: to find them out by mapping far too much, which is one system call, but
// shows in VmPeak.
#pragma once

#include <atomic>

#include "runtime/base/list.h"
#include "runtime/os/libc_state.h"
#include "runtime/os/lock.h"
#include "runtime/os/memory.h"
#include "runtime/sched/g.h"

namespace mn {

constexpr size_t kColours = 16, kColourStep = 64;
constexpr size_t kGAlign = 64;

struct DrySlot {
  char* slot;
  LibcKept kept;
};

// A stack of records that grows by chunks, which are never unmapped.
class DryList {
 public:
  static constexpr unsigned kEach = 255;

  bool empty() const { return top_ == nullptr || (n_ == 0 && top_->below == nullptr); }
  // Room for as many as a chunk holds. False: no memory.
  bool reserve();
  void push(const DrySlot& record);
  DrySlot pop();
  void clear() { *this = DryList{}; }

 private:
  struct Chunk {
    Chunk* below;
    Chunk* above;
    DrySlot slots[kEach];
  };
  Chunk* top_ = nullptr;
  unsigned n_ = 0;  // records in top_
};

struct StackClass {
  size_t stack_size = 0, guard_size = 0, stride = 0;
  // Where in a slot TCB and G are: the TCB that much below the slot's end, less its colour, aligned; the G below that,
  // aligned to kGAlign.
  size_t tcb_down = 0, tcb_align = 0, g_down = 0;
  SpinLock lock;
  Stack<G, &G::next> free;
  unsigned low_water = 0;  // least size of `free` since the last scavenge
  char* cursor = nullptr;
  char* arena_end = nullptr;
  size_t reserved = 0;  // bytes of all its arenas
  DryList dry;
  DryList bare;  // dry slots whose stack is unmapped
};

// Slots of one class, one after the other. Those from StackClass::cursor on are raw where this is the class's
// arena_end.
struct Arena {
  std::atomic<Arena*> next;  // made later: oldest first, so that observers show threads in order
  char* base;
  std::atomic<char*> end;  // lowered when what is raw is given back
  StackClass* cls;
};
extern std::atomic<Arena*> arenas;  // records are never unmapped

inline Arena* first_arena() {
  return arenas.load(std::memory_order_acquire);  // Acquire: pairs with new_arena.
}
inline Arena* next_arena(const Arena* a) {
  return a->next.load(std::memory_order_acquire);  // Acquire: pairs with new_arena.
}

// --- classes
// Null: there are too many, and none is large enough. Stack size 0: of heads.
StackClass* find_class(size_t stack_size, size_t guard_size);
StackClass* head_class();
// Visits all.
template <class Visit>
void for_each_class(Visit visit);
// The one class of which Ps keep slots of their own: the first that the program asks for, hence nearly always its
// default. None where space is exact, or where no slot can be made any more (gpool_share).
bool is_local(const StackClass* c);
void keep_no_local_slots();

char* tcb_of_slot(const StackClass* c, char* slot);
G* g_of_slot(const StackClass* c, char* slot);

// --- slots; with c->lock held
// A raw one, with its guard. Null: none is left, or no memory for the guard.
char* carve_slot(StackClass* c);
// False: no memory.
bool new_arena(StackClass* c);
// Gives back what of the class's arena is raw.
void trim_arena(StackClass* c);

// --- stacks by themselves
char* map_stack(const StackClass* c);  // with guard; null: no memory
inline size_t own_stack_size(const StackClass* c) {
  return c->guard_size + round_up(c->stack_size, kPageSize);
}
// Gives back the stack of a G that nobody uses, which is a head from then on.
void unmap_stack(G* g);

// --- limits
bool space_is_exact();
void make_space_exact();
bool space_may_be_short();  // it is exact, or there is a limit by now
// Bytes of stacks that may be kept for later where space is exact; natively, everywhere.
size_t most_kept();

// Stacks by themselves are not changed when a library that is loaded later needs executable ones (os/stack_prot.h).
void arenas_init(bool allow_guard_install);
// Once libc's list of stacks is known: it has the arenas' changed with its own.
void arenas_announce();
void arenas_reset_after_fork();

constexpr int kMaxClasses = 256;
extern StackClass stack_classes[kMaxClasses];
extern std::atomic<int> n_stack_classes;

template <class Visit>
void for_each_class(Visit visit) {
  int n = n_stack_classes.load(std::memory_order_acquire);  // Acquire: pairs with find_class.
  for (int i = 0; i < n; ++i) visit(&stack_classes[i]);
}

}  // namespace mn
