// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mn {

// Whether the program is one of Go's. Its run-time system multiplexes goroutines itself, and gives its threads their
// masks and alternate stacks, and signals them, by system calls of its own, which libmn does not see: they would be a
// kernel thread's, and not the thread's.
bool is_go_program();

}  // namespace mn
