// SPDX-License-Identifier: Apache-2.0
// Where libc's malloc serves a helper thread from. A thread that allocates gets an arena of its own, for which malloc
// maps 64 MiB of address space (128 MiB for a moment): for the few hundred bytes that the creator allocates with each
// kernel thread, that is most of what a program with one thread would take.
//
// So a helper is attached to the arena of the program's first thread, which is in libc's data. libc keeps the pointer
// in a variable of its TLS segment that nothing names; it is found out about by what it does: null in a thread that has
// not allocated yet, in the first thread a pointer into libc's data. There is one such word, or nothing is done.
#pragma once

namespace mn {

// By a helper, before it allocates. `main_tp`: the thread pointer of the process's first thread. The helper must never
// end: the arena does not count it.
void use_mains_malloc_arena(const void* main_tp);

}  // namespace mn
