// SPDX-License-Identifier: Apache-2.0
// vfork. The child is another process that runs on the caller's stack and in the caller's memory, this runtime's data
// included, while the calling thread sleeps in the kernel. To the runtime it *is* that thread: locks, futexes and
// membarrier go by address space. Only it must never be switched out, for then another G would run in the child. So the
// thread is wired for as long: it has no P, and waits by sleeping. Descriptors are the child's own: io/ leaves alone
// what the parent's threads wait for (G::vforked).
//
// Rejected: making it fork(2): programs tell the two apart by speed and by shared memory.
#include <sys/types.h>

#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

namespace {

thread_local constinit void* g_return_address __attribute__((tls_model("initial-exec"))) = nullptr;
thread_local constinit bool g_unwire __attribute__((tls_model("initial-exec"))) = false;

}  // namespace

extern "C" MN_HIDDEN void* mn_vfork_begin(void* return_address) {
  g_return_address = return_address;
  if (on()) {
    G* g = self_g();
    g_unwire = !g->wired;
    if (g_unwire) {
      enter();
      wire_self();
      leave();
    }
    g->vforked = true;
  }
  return reinterpret_cast<void*>(real.vfork);
}

extern "C" MN_HIDDEN void* mn_vfork_end(pid_t child) {
  G* g = this_g();
  if (child != 0 && g != nullptr && g->vforked) {
    g->vforked = false;
    if (g_unwire) unwire_self();
  }
  return g_return_address;
}
