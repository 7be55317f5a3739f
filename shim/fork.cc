// SPDX-License-Identifier: Apache-2.0
// fork, what of libc forks by itself, and handlers around it.
#include <pty.h>
#include <unistd.h>

#include "runtime/thread/fork.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM pid_t fork() {
  if (on()) fork_reserve();
  return real.fork();
}
MN_ALIAS(__fork, fork);

MN_SHIM int daemon(int no_chdir, int no_close) {
  if (on()) fork_reserve();
  return real.daemon(no_chdir, no_close);
}

MN_SHIM int forkpty(int* master, char* name, const termios* attributes, const winsize* size) {
  if (on()) fork_reserve();
  return real.forkpty(master, name, attributes, size);
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
