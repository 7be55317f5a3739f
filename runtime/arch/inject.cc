// SPDX-License-Identifier: Apache-2.0
// What of the CPU's state an injected call must save, asked once (Intel SDM volume 1, chapter 13).
#include "runtime/arch/inject.h"

#include <cpuid.h>

#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/os/confined.h"
#include "runtime/os/syscall.h"

namespace mn {
namespace {

constexpr uint64_t kPkru = 1 << 9, kTiles = uint64_t{3} << 17;
constexpr uint32_t kOsXsave = 1 << 27;                   // CPUID 1, ecx
constexpr uint32_t kXsavec = 1 << 1, kXgetbv1 = 1 << 2;  // CPUID 0xd, 1, eax
constexpr size_t kLegacyBytes = 512, kHeaderBytes = 64;
constexpr size_t kRedZone = 128;
constexpr size_t kPushed = 8 * (1 + 1 + 15 + 1);  // program counter, flags, general registers, the gap's size
constexpr int kFirstExtended = 2;                 // components 0 and 1 are the legacy area
constexpr int kComponents = 63;

uint64_t xcr0() {
  uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return uint64_t{hi} << 32 | lo;
}

size_t area_bytes(uint64_t mask, bool compacted) {
  size_t standard = kLegacyBytes + kHeaderBytes, compact = standard;
  for (int i = kFirstExtended; i < kComponents; ++i) {
    if ((mask >> i & 1) == 0) continue;
    uint32_t size, offset, flags, unused;
    __cpuid_count(0xd, static_cast<uint32_t>(i), size, offset, flags, unused);
    if (size_t end = size_t{offset} + size; end > standard) standard = end;
    if ((flags & 2) != 0) compact = (compact + 63) & ~size_t{63};
    compact += size;
  }
  return ((compacted ? compact : standard) + 63) & ~size_t{63};
}

}  // namespace
}  // namespace mn

extern "C" {

// As inject.S knows them.
struct MnSavePlan {
  uint64_t bytes;
  uint64_t mask;   // components that are saved
  uint64_t reset;  // and those that are reset afterwards
};
static_assert(offsetof(MnSavePlan, mask) == 8 && offsetof(MnSavePlan, reset) == 16);
enum MnSaveKind : uint32_t { kFxsave = 0, kXsave = 1, kXsavec = 2 };

MN_HIDDEN constinit MnSavePlan mn_save_plain{};
MN_HIDDEN constinit MnSavePlan mn_save_tiles{};  // bytes 0: there are none
MN_HIDDEN constinit uint32_t mn_save_kind = kFxsave;
// What inject.S pushes, at rbp.
struct MnInjectedFrame {
  greg_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, gap, rax, flags, pc;
};
static_assert(sizeof(MnInjectedFrame) == 8 * 18);
using MnInjectTarget = void (*)(MnInjectedFrame* frame, void* area, const MnSavePlan* plan);
MN_HIDDEN constinit MnInjectTarget mn_inject_target = nullptr;
MN_HIDDEN void mn_inject_stub();
[[noreturn]] MN_HIDDEN void mn_inject_resume(ucontext_t* uc, void* area, const MnSavePlan* plan);
}

namespace mn {

struct Injected {
  MnInjectedFrame* frame;
  void* area;
  const MnSavePlan* plan;
};

namespace {

using Target = void (*)(const Injected& interrupted);
constinit Target g_target = nullptr;

void begin(MnInjectedFrame* frame, void* area, const MnSavePlan* plan) {
  g_target({frame, area, plan});
}

}  // namespace

bool inject_init(void (*target)(const Injected& interrupted)) {
  g_target = target;
  mn_inject_target = begin;
  mn_save_plain = {kLegacyBytes + kHeaderBytes, 0, 0};
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  if ((c & kOsXsave) == 0) return true;
  uint64_t all = xcr0();
  __cpuid_count(0xd, 1, a, b, c, d);
  bool compacted = (a & mn::kXsavec) != 0;
  mn_save_kind = compacted ? MnSaveKind::kXsavec : MnSaveKind::kXsave;
  // Tiles take 8 KiB and are hardly ever in use; whether they are must be known, or they would always be saved.
  uint64_t plain = (a & kXgetbv1) != 0 ? all & ~kTiles : all;
  mn_save_plain = {area_bytes(plain, compacted), plain, plain & ~kPkru};
  if (plain != all) mn_save_tiles = {area_bytes(all, compacted), all, all & ~kPkru};
  return true;
}

size_t inject_stack(bool tiles) {
  const MnSavePlan& plan = tiles && mn_save_tiles.bytes != 0 ? mn_save_tiles : mn_save_plain;
  return kRedZone + kPushed + 63 + plan.bytes + 8;
}

bool inject_sees_tiles(const ucontext_t* uc) {
  if (mn_save_tiles.bytes == 0 || uc->uc_mcontext.fpregs == nullptr) return false;
  // The kernel's frame holds an XSAVE area; its header begins with the components in use.
  const auto* area = reinterpret_cast<const char*>(uc->uc_mcontext.fpregs);
  return (*reinterpret_cast<const uint64_t*>(area + kLegacyBytes) & kTiles) != 0;
}

void inject_describe(const Injected& interrupted, ucontext_t* uc) {
  constexpr greg_t kUserSegments = 0x002b'0000'0000'0033;  // cs, and ss at the top
  const MnInjectedFrame& f = *interrupted.frame;
  auto& regs = uc->uc_mcontext.gregs;
  regs[REG_R8] = f.r8, regs[REG_R9] = f.r9, regs[REG_R10] = f.r10, regs[REG_R11] = f.r11;
  regs[REG_R12] = f.r12, regs[REG_R13] = f.r13, regs[REG_R14] = f.r14, regs[REG_R15] = f.r15;
  regs[REG_RDI] = f.rdi, regs[REG_RSI] = f.rsi, regs[REG_RBP] = f.rbp, regs[REG_RBX] = f.rbx;
  regs[REG_RDX] = f.rdx, regs[REG_RAX] = f.rax, regs[REG_RCX] = f.rcx;
  regs[REG_RIP] = f.pc, regs[REG_EFL] = f.flags, regs[REG_CSGSFS] = kUserSegments;
  regs[REG_RSP] = reinterpret_cast<greg_t>(&interrupted.frame->pc) + static_cast<greg_t>(kRedZone + 8);
  uc->uc_mcontext.fpregs = static_cast<fpregset_t>(interrupted.area);
}

void inject_go_on(const Injected& interrupted, ucontext_t* uc) {
  mn_inject_resume(uc, interrupted.area, interrupted.plan);
}

void inject_call(siginfo_t* info, ucontext_t* uc, bool gap) {
  auto& regs = uc->uc_mcontext.gregs;
  auto* record = reinterpret_cast<greg_t*>(info) + 2;
  record[0] = regs[REG_RIP];
  record[1] = regs[REG_RSP] - static_cast<greg_t>(kRedZone + 8);
  record[2] = gap ? kInjectGap : 0;
  regs[REG_RSP] = reinterpret_cast<greg_t>(record);
  regs[REG_RIP] = reinterpret_cast<greg_t>(&mn_inject_stub);
}

void inject_take_back(ucontext_t* uc) {
  auto& regs = uc->uc_mcontext.gregs;
  if (MN_LIKELY(regs[REG_RIP] != reinterpret_cast<greg_t>(&mn_inject_stub))) return;
  const auto* record = reinterpret_cast<const greg_t*>(regs[REG_RSP]);
  regs[REG_RIP] = record[0];
  regs[REG_RSP] = record[1] + static_cast<greg_t>(kRedZone + 8);
}

// As the kernel does: first the mask, so that what it opens finds a handler's frame. The word that is written below the
// red zone lies in the kernel's frame at most, at the end of the extended state, which is loaded by then.
void handler_ends(void* ucontext) {
  if (MN_LIKELY(may_use(kReturns))) return;
  auto* uc = static_cast<ucontext_t*>(ucontext);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&uc->uc_sigmask), 0, 8);
  mn_inject_resume(uc, uc->uc_mcontext.fpregs, inject_sees_tiles(uc) ? &mn_save_tiles : &mn_save_plain);
}

}  // namespace mn
