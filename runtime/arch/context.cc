// SPDX-License-Identifier: Apache-2.0
// Choice of the switch, the first frame of a context, and the ucontext fallback.
//
// The fallback keeps a ucontext_t on the stack of the context it saves, so that Context stays one word. swapcontext
// also swaps the signal mask, which belongs to sched/ here: the mask to load is overwritten with the kernel's present
// one just before the swap, so the swap leaves it as it is.
#include "runtime/arch/context.h"

#include <asm/prctl.h>
#include <elf.h>
#include <sys/auxv.h>
#include <ucontext.h>

#include <cstdint>
#include <new>

#include "runtime/base/check.h"
#include "runtime/os/syscall.h"

extern "C" {
void mn_switch_fsgsbase(void** save_sp, void* load_sp, void* tp);
void mn_switch_prctl(void** save_sp, void* load_sp, void* tp);
void mn_context_start();
void mn_bottom_stub();
extern MN_HIDDEN void (*mn_bottom_target)();
void (*mn_bottom_target)() = nullptr;

// A filter that was installed meanwhile.
[[noreturn]] MN_HIDDEN void mn_thread_pointer_refused() {
  mn::fatal("arch_prctl is refused: threads cannot take turns", "arch/context.cc");
}
}

namespace mn {

constinit SwitchKind switch_kind = SwitchKind::kArchPrctl;

namespace {

constexpr unsigned kHwcap2FsGsBase = 1u << 1;  // Linux Documentation/arch/x86/x86_64/fsgs.rst
constexpr size_t kFrameSize = 0x40;

static_assert(sizeof(SavedFrame) == kFrameSize);
static_assert(offsetof(SavedFrame, r12) == 0x20 && offsetof(SavedFrame, rbx) == 0x28 &&
              offsetof(SavedFrame, return_address) == 0x38);

constinit bool g_fsgsbase = false;

void ucontext_entry(unsigned entry_lo, unsigned entry_hi, unsigned arg_lo, unsigned arg_hi) {
  auto join = [](unsigned lo, unsigned hi) { return reinterpret_cast<void*>(uint64_t{hi} << 32 | lo); };
  reinterpret_cast<ContextEntry>(join(entry_lo, entry_hi))(join(arg_lo, arg_hi));
  __builtin_trap();
}

MN_NOINLINE void switch_ucontext(Context* from, const Context* to, void* tp) {
  ucontext_t self;
  auto* next = static_cast<ucontext_t*>(to->sp);
  from->sp = &self;
  raw_syscall(SYS_rt_sigprocmask, 0, 0, sys_arg(&next->uc_sigmask), 8);
  set_thread_pointer(tp);
  ::swapcontext(&self, next);
}

void make_ucontext(Context* ctx, void* base, size_t size, ContextEntry entry, void* arg) {
  auto top = (reinterpret_cast<uintptr_t>(base) + size - sizeof(ucontext_t)) & ~uintptr_t{63};
  auto* uc = new (reinterpret_cast<void*>(top)) ucontext_t;
  ::getcontext(uc);
  uc->uc_stack.ss_sp = base;
  uc->uc_stack.ss_size = top - reinterpret_cast<uintptr_t>(base);
  uc->uc_link = nullptr;
  auto lo = [](uint64_t v) { return static_cast<unsigned>(v); };
  auto hi = [](uint64_t v) { return static_cast<unsigned>(v >> 32); };
  auto e = reinterpret_cast<uint64_t>(entry);
  auto a = reinterpret_cast<uint64_t>(arg);
  ::makecontext(uc, reinterpret_cast<void (*)()>(ucontext_entry), 4, lo(e), hi(e), lo(a), hi(a));
  ctx->sp = uc;
}

}  // namespace

void set_thread_pointer(void* tp) {
  if (g_fsgsbase)
    __asm__ volatile("wrfsbase %0" ::"r"(tp) : "memory");
  else if (MN_UNLIKELY(raw_syscall(SYS_arch_prctl, ARCH_SET_FS, sys_arg(tp)) != 0))
    mn_thread_pointer_refused();
}

const char* context_init(bool ucontext, bool allow_fsgsbase) {
  g_fsgsbase = allow_fsgsbase && (::getauxval(AT_HWCAP2) & kHwcap2FsGsBase) != 0;
  if (ucontext)
    switch_kind = SwitchKind::kUcontext;
  else
    switch_kind = g_fsgsbase ? SwitchKind::kFsGsBase : SwitchKind::kArchPrctl;
  void* present;
  __asm__("mov %%fs:0, %0" : "=r"(present));
  if (g_fsgsbase || raw_syscall(SYS_arch_prctl, ARCH_SET_FS, sys_arg(present)) == 0) return nullptr;
  return "the CPU has no FSGSBASE, and arch_prctl is refused";
}

void context_make(Context* ctx, void* base, size_t size, ContextEntry entry, void* arg) {
  if (switch_kind == SwitchKind::kUcontext) return make_ucontext(ctx, base, size, entry, arg);
  // After the return address is popped rsp must be a multiple of 16, as before any call.
  uintptr_t top = (reinterpret_cast<uintptr_t>(base) + size) & ~uintptr_t{15};
  auto* frame = new (reinterpret_cast<void*>(top - kFrameSize)) SavedFrame{};
  __asm__ volatile("stmxcsr %0" : "=m"(frame->mxcsr));
  __asm__ volatile("fnstcw %0" : "=m"(frame->x87_control));
  frame->rbx = reinterpret_cast<uint64_t>(entry);
  frame->r12 = reinterpret_cast<uint64_t>(arg);
  frame->return_address = reinterpret_cast<uint64_t>(&mn_context_start);
  ctx->sp = frame;
}

void context_switch(Context* from, const Context* to, void* tp) {
  if (MN_LIKELY(switch_kind == SwitchKind::kFsGsBase)) return mn_switch_fsgsbase(&from->sp, to->sp, tp);
  if (switch_kind == SwitchKind::kArchPrctl) return mn_switch_prctl(&from->sp, to->sp, tp);
  switch_ucontext(from, to, tp);
}

SavedRegisters context_registers(const Context& ctx) {
  if (switch_kind == SwitchKind::kUcontext) {
    const auto& r = static_cast<const ucontext_t*>(ctx.sp)->uc_mcontext.gregs;
    auto at = [&r](int index) { return static_cast<uint64_t>(r[index]); };
    return {at(REG_RBX), at(REG_RBP), at(REG_R12), at(REG_R13), at(REG_R14), at(REG_R15), at(REG_RSP), at(REG_RIP)};
  }
  const auto* f = static_cast<const SavedFrame*>(ctx.sp);
  return {f->rbx, f->rbp, f->r12, f->r13, f->r14, f->r15, reinterpret_cast<uint64_t>(f + 1), f->return_address};
}

unsigned long mangle_pointer(unsigned long p) {
  __asm__("xor %%fs:0x30, %0\n\trol $0x11, %0" : "+r"(p));
  return p;
}

unsigned long unmangle_pointer(unsigned long p) {
  __asm__("ror $0x11, %0\n\txor %%fs:0x30, %0" : "+r"(p));
  return p;
}

void* bottom_stub(void (*fn)()) {
  mn_bottom_target = fn;
  return reinterpret_cast<void*>(&mn_bottom_stub);
}

}  // namespace mn
