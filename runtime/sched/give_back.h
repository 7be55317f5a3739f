// SPDX-License-Identifier: Apache-2.0
// Address space of threads that have ended, given back where it is short (arena.h). All inside.
#pragma once

#include "runtime/sched/arena.h"

namespace mn {

struct M;
struct P;

// A stack cannot be mapped: space is exact from now on, and all stacks that nobody uses are unmapped. `m` is the
// caller's.
void give_back_all(const M* m);
// Unmaps what is more than may be kept, where space is exact.
void give_back_surplus();
// To those of the class, where every thread finds them.
void flush_slots(P* p);
void give_back_reset_after_fork();

// gpool.cc
void put_shared(StackClass* c, G* g);

}  // namespace mn
