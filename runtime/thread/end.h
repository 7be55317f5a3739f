// SPDX-License-Identifier: Apache-2.0
// Death of a thread (end.cc), for create.cc and main's way out.
#pragma once

#include "runtime/sched/g.h"

namespace mn {

// Runs destructors, ends the process when this was the last thread, gives the G to its joiner or back to the pool.
[[noreturn]] void thread_end(G* g);

// In a forked child the caller is the only thread.
void threads_forget_after_fork();

// Observers learn what a thread parks with that ends.
void ends_init();

}  // namespace mn
