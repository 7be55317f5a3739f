// SPDX-License-Identifier: Apache-2.0
// Around what makes a process that has a copy of this one's memory. Each is called by the thread that forks; the first
// goes inside, the others go outside.
#pragma once

namespace mn {

void fork_prepare();
void fork_parent();
void fork_child();

// Outside, before libc's fork() runs any handler: the allocator's may take malloc's locks before ours needs memory.
void fork_reserve();

// Registers them, once. Before all others: those of an allocator, which take locks of ours, must not run while we are
// inside, between our handler and the fork.
void fork_init();

// What io/ has to know: before, that another process gets the files, too; in the child, that it is one.
extern void (*fork_share_descriptors)();
extern void (*fork_reset_descriptors)();

}  // namespace mn
