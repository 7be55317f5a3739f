// SPDX-License-Identifier: Apache-2.0
// fork, what of libc forks by itself, and handlers around it.
#include "runtime/thread/fork.h"

#include <pty.h>
#include <unistd.h>

#include "shim/shim.h"

using namespace mn;

namespace {

// `fork` returns as fork() does, and runs the handlers.
template <class Fork>
pid_t forked(Fork fork) {
  if (!on_here()) return fork();
  fork_begin();
  pid_t child = fork();
  if (child != 0) fork_over(child);
  return child;
}

}  // namespace

MN_SHIM pid_t fork() {
  return forked([] { return real.fork(); });
}
MN_ALIAS(__fork, fork);

// Async-signal-safe; runs no handlers.
MN_SHIM pid_t _Fork() {
  return on() ? forked_by([] { return real._Fork(); }) : real._Fork();
}

MN_SHIM int daemon(int no_chdir, int no_close) {
  bool ours = on_here();
  if (ours) fork_begin();
  int result = real.daemon(no_chdir, no_close);
  if (result != 0 && ours) fork_over(-1);
  return result;
}

MN_SHIM int forkpty(int* master, char* name, const termios* attributes, const winsize* size) {
  return forked([=] { return real.forkpty(master, name, attributes, size); });
}

// What pthread_atfork calls, which is linked into each library.
MN_SHIM int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso) {
  if (on()) fork_init();
  return real.__register_atfork(prepare, parent, child, dso);
}

// Of libraries that look for it at run time (tcmalloc).
MN_SHIM int pthread_atfork(void (*prepare)(), void (*parent)(), void (*child)()) {
  return __register_atfork(prepare, parent, child, nullptr);
}
