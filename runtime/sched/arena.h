// SPDX-License-Identifier: Apache-2.0
// How slots (gpool.h) lie in memory, which observers outside the process work out, too (observe/layout.cc).
#pragma once

#include <atomic>

#include "runtime/base/list.h"
#include "runtime/os/libc_state.h"
#include "runtime/os/lock.h"
#include "runtime/sched/g.h"

namespace mn {

constexpr size_t kColours = 16, kColourStep = 64;
constexpr size_t kGAlign = 64;

struct DrySlot {
  char* slot;
  LibcKept kept;
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
  DrySlot* dry = nullptr;
  unsigned n_dry = 0;
};

// Slots of one class, one after the other. Those from StackClass::cursor on are raw where this is the class's
// arena_end.
struct Arena {
  Arena* next;
  char* base;
  char* end;
  StackClass* cls;
};
extern std::atomic<Arena*> arenas;  // never unmapped

}  // namespace mn
