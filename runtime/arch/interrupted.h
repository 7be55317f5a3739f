// SPDX-License-Identifier: Apache-2.0
// What a signal handler is told about the code that it interrupts, where it was no signal of the kernel's: the code
// called libmn, which found one noted. Collectors of garbage look there for the end of the stack and for registers,
// profilers for a program counter, and some have their thread go on elsewhere.
#pragma once

#include <ucontext.h>

#include "runtime/base/check.h"

namespace mn {

// Calls call(uc, arg). *uc says how the caller goes on: stack pointer, program counter, flags, control words and the
// registers that the ABI makes a callee preserve are those that there will be when this returns; the others stay as
// they are in *uc. Then goes on with what it says by now, which may be elsewhere, and uses 136 bytes below its stack
// pointer. `call` may write below the stack pointer that it is told, as with a frame of the kernel's in between (SBCL
// puts the frame of a call there): a KiB is left.
extern "C" MN_HIDDEN void mn_interrupted_call(void (*call)(ucontext_t* uc, void* arg), ucontext_t* uc, void* arg);

}  // namespace mn
