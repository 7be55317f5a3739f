// SPDX-License-Identifier: Apache-2.0
// Memory of Gs: slots of address space, each [guard | stack ... G | static TLS | TCB], the TCB at the high end.
//
// Slots come from arenas (arena.h) that are mapped without reservation. Their topmost pages are never unmapped, so a
// stale pthread_t never faults; a stack may be, where address space is short. All slots of a class have one size; a
// class is a pair (stack size, guard size). The G, the TLS and the first stack frames share the two topmost pages, and
// the guard of the next slot shares their page-table page: a parked thread costs 8 KiB and its part of the page tables.
// The top is shifted by a colour, or the hot lines of all Gs would fall into the same cache sets.
//
// A free slot keeps its TLS, TCB and malloc cache (tcb.h) and the touched stack: reuse costs no system call. What more
// than kKeepFree slots of a class leave idle is returned to the system by gpool_scavenge().
//
// Guards are MADV_GUARD_INSTALL where the kernel has it (Linux 6.13: no map entry each), else PROT_NONE.
#pragma once

#include <cstddef>

#include "runtime/sched/g.h"

namespace mn {

struct P;

// Must precede all else: page size and TLS size are known.
void gpool_init(bool allow_guard_install);

// A G with stack, guard, TLS and TCB as asked, fresh or recycled, not yet runnable. Null: no memory. Outside libmn (it
// may call the program's malloc). `user_stack`: the program's own memory; then only TLS and TCB are ours.
G* gpool_get(size_t stack_size, size_t guard_size, void* user_stack);

// The G has ended and nobody will look at it again. Inside libmn.
void gpool_put(G* g);

// Tells libc of the stacks that were there before it was known how (os/stack_prot.h).
void gpool_announce();

// For M0's g0.
G* gpool_get_system();

// What a fresh context may use.
struct StackRange {
  char* low;
  size_t bytes;
};
StackRange gpool_stack(const G* g);

// Returns to the system the memory of slots that stayed free since the last call; a few per class are kept. Takes
// malloc's locks: called from the creator thread. gpool_wants_scavenge(): there may be such, and the last time was a
// second ago; gpool_has_surplus(): there may be such.
bool gpool_has_surplus();
bool gpool_wants_scavenge();
void gpool_scavenge();

// Something else cannot be had, perhaps for want of address space: that of slots that nobody uses is unmapped. Outside.
void gpool_give_back();

// No slot can be made soon (sched/provide.h): those that are free are found by every thread from now on. Outside.
void gpool_share();
// How many stacks libc would have kept of those that are free. Inside.
size_t gpool_kept();

// Visits every G whose slot has memory, free ones included.
void gpool_for_each(void (*visit)(G* g, void* arg), void* arg);

// Puts its TCB on libc's list of threads or takes it off (os/tcb_list.h), unless it is so already. Inside. It is there
// from gpool_get on; who gives the TCB the id of a kernel thread must take it off.
void gpool_list(G* g);
void gpool_unlist(G* g);

// In a fork's child, whose thread is `self`: only that is on libc's list. What of the pools was being changed at the
// moment is given up, and slots with it.
void gpool_reset_after_fork(G* self);
// Later there, when the scheduler starts: the slots of the parent's threads are free. No other thread exists.
void gpool_reclaim();

}  // namespace mn
