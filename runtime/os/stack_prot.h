// SPDX-License-Identifier: Apache-2.0
// Executable stacks. The program, or a library that it starts with, may need them (PT_GNU_STACK); ld.so remembers that,
// and libc makes threads' stacks accordingly. So do we. Up to glibc 2.40 a library that is loaded later may need them,
// too: ld.so then changes the stacks of all threads that libc made, by its list of them (GL(dl_stack_used)), before the
// library's constructors run. There is no other moment at which that could be done, so our arenas are on the list, each
// as the stack of a thread that does not exist. Since 2.41 such a library is refused.
//
// The list's lock is libc's. But libc puts threads at the list's begin only, and takes off its own only: two more
// threads that do not exist, put there before there are others, stay neighbours for ever, and what lies between those
// two is ours alone. Walkers go forward, so that a node which is linked last is whole when it is found.
//
// What else walks the list: a library's static TLS is written below every TCB on it, so there is room for it; set*id
// signals the threads' ids, and -1 is nobody's; fork's child takes the stacks for free ones, of which it counts the
// size, so we take them off again there.
//
// Where ld.so keeps it is not told to debuggers, but lies before what is (sysdeps/generic/ldsodefs.h, 2.34 to 2.43):
// dl_stack_flags, since 2.42 dl_stack_prot_flags, then one bool and the highest module, then the list of modules.
#pragma once

#include <cstddef>

namespace mn {

// On main, before there are others. Without it, or where things are not as expected, stacks are not executable.
void stack_prot_find();
// What libc would make a new thread's stack now.
bool stacks_are_executable();

// As the first, when threads are about to be made.
void stack_prot_begin();
// Has libc change these stacks with its own. Known from now on are those that were added before this could be told.
void stack_prot_add(void* base, size_t size);
void stack_prot_reset_after_fork();

}  // namespace mn
