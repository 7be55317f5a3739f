// SPDX-License-Identifier: Apache-2.0
// Context switch. A context is one word: the stack pointer under which everything else was saved. Switching saves what
// the ABI makes the callee preserve (System V AMD64: rbx rbp r12-r15, MXCSR, x87 control word), moves the thread
// pointer and loads the other context. It makes no system call where the CPU has FSGSBASE.
//
// Two implementations pass the same tests: assembly (default) and ucontext (MN_SWITCH=ucontext), for tools and
// platforms that the first does not suit. Which one is decided once, before the first context is made; they cannot be
// mixed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

struct Context {
  void* sp = nullptr;
};

using ContextEntry = void (*)(void* arg);  // must never return

enum class SwitchKind : unsigned char {
  kFsGsBase,   // assembly, wrfsbase
  kArchPrctl,  // assembly, arch_prctl(ARCH_SET_FS)
  kUcontext,   // getcontext/swapcontext, arch_prctl or wrfsbase for the thread pointer
};

// Must precede every other call. `allow_fsgsbase`: false forgets that the CPU has it. Null, or why no context can be
// switched to.
const char* context_init(bool ucontext, bool allow_fsgsbase);
extern SwitchKind switch_kind;  // which it was
inline SwitchKind context_kind() {
  return switch_kind;
}

// Prepares `ctx` to run entry(arg) on the stack [base, base + size) at the first switch to it, with the floating-point
// control state of the caller.
void context_make(Context* ctx, void* base, size_t size, ContextEntry entry, void* arg);

// Saves the caller in *from, sets the thread pointer to `tp` and resumes *to. Returns when somebody switches to *from.
void context_switch(Context* from, const Context* to, void* tp);

// Of the calling kernel thread. All TLS changes with it, `this_g()` included. The process ends, with a line, where a
// filter refuses that.
void set_thread_pointer(void* tp);

// What Context::sp points to where assembly switches, as drawn in switch.S; a ucontext_t otherwise.
struct SavedFrame {
  uint32_t mxcsr;
  uint16_t x87_control;
  uint16_t padding;
  uint64_t r15, r14, r13, r12, rbx, rbp, return_address;
};

// What a switched-out context will go on with: for observers of its stack.
struct SavedRegisters {
  uint64_t rbx = 0, rbp = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0, rsp = 0, rip = 0;
};
SavedRegisters context_registers(const Context& ctx);

// What libc stores code addresses as in jump buffers (PTR_MANGLE).
unsigned long mangle_pointer(unsigned long p);
unsigned long unmangle_pointer(unsigned long p);

// An address that may be jumped to with any stack alignment, and which calls `fn`. One fn per process.
void* bottom_stub(void (*fn)());

}  // namespace mn
