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

#include <signal.h>
#include <ucontext.h>

#include <cstddef>

namespace mn {

// What the call keeps of the interrupted code; `target` is given it.
struct Injected;

// Must precede the others. `target` runs in every injected call. False: this CPU's state cannot be saved.
bool inject_init(void (*target)(const Injected& interrupted));

// What `target` may do instead of returning: the interrupted code, as a ucontext, and going on as it says by then,
// which may be elsewhere. The ucontext must lie on the stack that `target` runs on. Its fpregs are those that will be
// loaded. (A handler may write below the stack pointer that it is told, as with a frame of the kernel's in between:
// with a gap it finds nothing there that is needed.)
void inject_describe(const Injected& interrupted, ucontext_t* uc);
[[noreturn]] void inject_go_on(const Injected& interrupted, ucontext_t* uc);

// Stack that a call takes below the interrupted stack pointer, not counting what `target` uses. `tiles`: when AMX is in
// use. The gap may be left out.
constexpr size_t kInjectGap = 1024;
size_t inject_stack(bool tiles);
bool inject_sees_tiles(const ucontext_t* uc);

// In a handler, with its arguments; *info is used up. All signals must be blocked.
//
// The words that the landing needs are put into *info, which nobody reads any more, and not where a call would have put
// them: right below the red zone begins the kernel's frame, and its end says that the vector registers are in it.
void inject_call(siginfo_t* info, ucontext_t* uc, bool gap);

// For handlers of other signals, outside. One that comes while inject_call()'s handler runs is delivered as that
// returns, before the first instruction of the call: the call is taken back, and *uc is the interrupted code's again.
void inject_take_back(ucontext_t* uc);

// The end of a handler of libmn's. The kernel returns from it, by rt_sigreturn(2); where the program's filter takes
// that away (os/confined.h), the code that it interrupted goes on here as the ucontext says, and this does not return:
// a program without handlers of its own need not let the call through.
void handler_ends(void* ucontext);

}  // namespace mn
