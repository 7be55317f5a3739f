// SPDX-License-Identifier: Apache-2.0
// Around what makes a process that has a copy of this one's memory. Each is called by the thread that forks; the first
// goes inside, the others go outside.
#pragma once

namespace mn {

void fork_prepare();
void fork_parent();
void fork_child();

void fork_init();

// What io/ has to know: before, that another process gets the files, too; in the child, that it is one.
extern void (*fork_share_descriptors)();
extern void (*fork_reset_descriptors)();

}  // namespace mn
