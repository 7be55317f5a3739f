// SPDX-License-Identifier: Apache-2.0
// Around what makes a process that has a copy of this one's memory. Each is called by the thread that forks; `prepare`
// goes inside, `parent` and `child` go outside.
#pragma once

#include <sys/types.h>

namespace mn {

// Before libc's fork() runs any handler: the allocator's may hold malloc's locks from then on. Outside. Not where the
// caller may be in a handler that interrupted malloc (_Fork): prepare does what must be done.
void fork_begin();
void fork_prepare();
void fork_parent();
void fork_child();

// By the parent's thread, at the end: it has this child; negative: none. Keeps errno. Outside.
void fork_over(pid_t child);

// The same round a call that runs no handlers of pthread_atfork (_Fork, the system call). `call` returns the child's
// number, 0 in the child, or a negative number, and may set errno. Outside.
template <class Call>
auto forked_by(Call call) {
  fork_prepare();
  auto child = call();
  if (child == 0)
    fork_child();
  else
    fork_parent();
  if (child != 0) fork_over(static_cast<pid_t>(child));
  return child;
}

// Registers them, once. Before all others: those of an allocator, which take locks of ours, must not run while we are
// inside, between our handler and the fork.
void fork_init();

// What io/ has to know: before, that another process gets the files, too; in the child, that it is one.
extern void (*fork_share_descriptors)();
extern void (*fork_reset_descriptors)();

}  // namespace mn
