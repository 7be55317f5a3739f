// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/guard.h"

#include <pthread.h>
#include <unwind.h>

#include <utility>

#include "runtime/os/real.h"

namespace mn {

struct Guard {
  void (*undo)(void* arg);
  void* arg;
  Guard* outer;
  _pthread_cleanup_buffer buffer{};  // the same, as libc knows it
};

namespace {

void end(Guard* guard, Leaving how) {
  this_g()->guards = guard->outer;
  this_g()->leaving = how;
  guard->undo(guard->arg);
}

// Called by libc, which has taken the buffer off its list.
void run(void* arg) {
  auto* guard = static_cast<Guard*>(arg);
  bool jumps = reinterpret_cast<uintptr_t>(guard) < this_g()->jump_to;
  end(guard, jumps ? Leaving::kJumps : Leaving::kUnwinds);
}

}  // namespace
}  // namespace mn

extern "C" {

MN_HIDDEN void mn_call_guarded(void (*fn)(void*), void* arg);

// Itanium C++ ABI: Exception Handling, 1.6.2.
MN_HIDDEN _Unwind_Reason_Code mn_guard_personality(int, _Unwind_Action actions, _Unwind_Exception_Class,
                                                   _Unwind_Exception*, _Unwind_Context*) {
  mn::Guard* guard = mn::this_g()->guards;
  if ((actions & _UA_CLEANUP_PHASE) != 0 && guard != nullptr) {
    mn::real._pthread_cleanup_pop(&guard->buffer, 0);
    mn::end(guard, mn::Leaving::kUnwinds);
  }
  return _URC_CONTINUE_UNWIND;
}
}

namespace mn {

void call_guarded(void (*fn)(void*), void* arg, void (*undo)(void*), void* undo_arg) {
  if (this_g() == nullptr) adopt_thread();
  G* g = this_g();
  Guard guard{undo, undo_arg, g->guards};
  g->guards = &guard;
  g->jump_to = 0;
  real._pthread_cleanup_push(&guard.buffer, run, &guard);
  mn_call_guarded(fn, arg);
  real._pthread_cleanup_pop(&guard.buffer, 0);
  g->guards = guard.outer;
}

}  // namespace mn
