// SPDX-License-Identifier: Apache-2.0
// Calls program code and runs `undo` if it is left by unwinding: a C++ exception, pthread_exit or a cancellation. libmn
// is built without exceptions and links no C++ library, so the frame (mn_call_guarded, switch.S) has a personality
// routine of its own, which runs the guard in the clean-up phase and lets the unwinding go on: no landing pad, no call
// into the unwinder.
#pragma once

namespace mn {

void call_guarded(void (*fn)(void*), void* arg, void (*undo)(void*), void* undo_arg);

}  // namespace mn
