// SPDX-License-Identifier: Apache-2.0
// What the start of the scheduler (start.cc) needs of ms.cc; sched.h has what others call.
#pragma once

#include "runtime/sched/sched.h"

namespace mn {

// An M from the free list or new memory; null: there is none.
M* new_m();
void free_m(M* m);
// Numbers m and puts it on the list of all.
void join_all_ms(M* m);
// Starts creator and sysmon. self: the caller. 0 or errno.
int start_helpers(G* self);
// Drops what the creator was asked to do.
void forget_errands();
// In a forked child: no M but the caller's is alive.
void forget_ms_after_fork();

}  // namespace mn
