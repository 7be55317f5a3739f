// SPDX-License-Identifier: Apache-2.0
// Injected calls: a signal handler makes the code that it interrupted call a function, as if there had been a call
// instruction between two of its own. The handler returns at once; the call happens after it, on the interrupted stack,
// and may switch contexts as any call may.
//
// The interrupted code knows nothing of the call, so everything is kept that a program can see: general registers,
// flags, the red zone, and the whole extended state (x87, SSE, AVX, AVX-512, AMX, whatever XCR0 says). Meanwhile that
// state is what the kernel gives to a signal handler: empty x87 stack, default control words. Debuggers and unwinders
// see a signal frame.
//
// Rejected: switching inside the handler. The kernel's frame does keep every register, but returning from it restores
// the signal mask and the alternate stack of a kernel thread that may not be the same any more.
#pragma once

#include <ucontext.h>

#include <cstddef>

namespace mn {

// Must precede the others. `target` runs in every injected call. False: this CPU's state cannot be saved.
bool inject_init(void (*target)());

// Stack that a call takes below the interrupted stack pointer, not counting what `target` uses. `tiles`: when AMX is in
// use.
size_t inject_stack(bool tiles);
bool inject_sees_tiles(const ucontext_t* uc);

// In a handler that interrupted code outside of any injected call's own instructions.
void inject_call(ucontext_t* uc);

}  // namespace mn
