// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/credentials.h"

#include <errno.h>

#include "runtime/arch/context.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Apart, as libc says that the address of errno never changes.
MN_NOINLINE int result_of(int (*call)(void* arg), void* arg) {
  int result = call(arg);
  return result == -1 ? -errno : result;
}

}  // namespace

int change_credentials(int (*call)(void* arg), void* arg) {
  G* g = this_g();
  // A child of vfork has main's thread pointer.
  if (g == nullptr || g != sched.main_g || in_vfork_child()) return call(arg);
  release_p(enter());
  leave();
  // Without a P the M is main's until enter(). While it has the M's own TCB, handlers of the program's are for others.
  M* m = g->m.load(std::memory_order_relaxed);
  bool elsewhere = m->libc_tp != g->tp;
  if (elsewhere) set_thread_pointer(m->libc_tp);
  int result = result_of(call, arg);
  if (elsewhere) set_thread_pointer(g->tp);
  enter();
  leave();
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace mn
