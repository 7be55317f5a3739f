// SPDX-License-Identifier: Apache-2.0
// Death of a thread (end.cc), for create.cc and main's way out.
#pragma once

#include "runtime/sched/g.h"

namespace mn {

// Runs destructors, ends the process when this was the last thread, gives the G to its joiner or back to the pool.
[[noreturn]] void thread_end(G* g);

// By g, the caller, before libc unwinds it: where that ends is ours if g is main. False: not yet, for the scheduler has
// not started, or main() has not begun.
bool lead_main_to_its_end(G* g);
// Whether it is so; true of others than main.
bool main_is_led(const G* g);

// Of g, which has ended: its memory is for the next thread. Main has none; where a thread has forked it keeps it, or
// the next thread would be taken for main. Inside.
void give_slot(G* g);

// In a forked child the caller is the only thread.
void threads_forget_after_fork();

// Observers learn what a thread parks with that ends.
void ends_init();

}  // namespace mn
