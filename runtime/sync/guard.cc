// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/guard.h"

#include <unwind.h>

#include "runtime/sched/sched.h"

extern "C" {

MN_HIDDEN void mn_call_guarded(void (*fn)(void*), void* arg);

// Itanium C++ ABI: Exception Handling, 1.6.2.
MN_HIDDEN _Unwind_Reason_Code mn_guard_personality(int, _Unwind_Action actions, _Unwind_Exception_Class,
                                                   _Unwind_Exception*, _Unwind_Context*) {
  if ((actions & _UA_CLEANUP_PHASE) != 0) {
    mn::G* g = mn::this_g();
    mn::Guard* guard = g->guards;
    g->guards = guard->outer;
    guard->undo(guard->arg);
  }
  return _URC_CONTINUE_UNWIND;
}
}

namespace mn {

void call_guarded(void (*fn)(void*), void* arg, void (*undo)(void*), void* undo_arg) {
  if (this_g() == nullptr) adopt_thread();
  G* g = this_g();
  Guard guard{g->guards, undo, undo_arg};
  g->guards = &guard;
  mn_call_guarded(fn, arg);
  g->guards = guard.outer;
}

}  // namespace mn
