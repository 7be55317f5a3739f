// SPDX-License-Identifier: Apache-2.0
// Calls program code and runs `undo` if that is left in another way than by returning:
//
//   a C++ exception                    libmn is built without exceptions and links no C++ library, so the frame
//                                      (mn_call_guarded, switch.S) has a personality routine of its own, which runs the
//                                      guard in the clean-up phase and lets the unwinding go on: no landing pad, no
//                                      call into the unwinder
//   pthread_exit, a cancellation       the same, as far as there are tables to unwind by. In C that was compiled
//                                      without them libc goes on with the clean-up handlers of the old sort, of which
//                                      it has a list, and jumps to the thread's end (nptl/unwind.c): the guard is one
//                                      of them, too
//   longjmp, siglongjmp                libc calls those handlers of the frames that are jumped over; shim/jump.cc notes
//                                      where to
//
// setcontext, and a handler that changes its ucontext, undo nothing.
#pragma once

#include "runtime/sched/sched.h"

namespace mn {

// `undo` is called outside.
void call_guarded(void (*fn)(void*), void* arg, void (*undo)(void*), void* undo_arg);

// In `undo`: by a jump, so that the thread goes on.
inline bool left_by_jump() {
  return this_g()->leaving == Leaving::kJumps;
}

// leave(), which runs handlers of the program if there is reason to. Inside.
inline void leave_guarded(void (*undo)(void*), void* undo_arg) {
  if (MN_LIKELY(this_g()->sigpend.load(std::memory_order_relaxed) == 0)) return leave();
  call_guarded([](void*) { leave(); }, nullptr, undo, undo_arg);
}

}  // namespace mn
