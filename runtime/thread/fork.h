// SPDX-License-Identifier: Apache-2.0
// Around what makes a process that has a copy of this one's memory. Each is called by the thread that forks; the first
// goes inside, the others go outside.
#pragma once

namespace mn {

void fork_prepare();
void fork_parent();
void fork_child();

void fork_init();

}  // namespace mn
