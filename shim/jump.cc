// SPDX-License-Identifier: Apache-2.0
// Jumps that restore a signal mask: libc sets the kernel's, the G's is set here. In glibc longjmp, _longjmp and
// siglongjmp are one function, and the buffer says whether a mask was saved. What guards (sync/guard.h) are jumped over
// libc finds, and the buffer says for them that it is a jump.
#include <setjmp.h>
#include <string.h>

#include "runtime/arch/context.h"
#include "runtime/sched/g.h"
#include "runtime/thread/signal.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// glibc's layout (sysdeps/x86_64/jmpbuf-offsets.h); the stack pointer is mangled.
uintptr_t stack_pointer(const __jmp_buf_tag* env) {
  constexpr int kJbRsp = 6;
  return unmangle_pointer(static_cast<uintptr_t>(env->__jmpbuf[kJbRsp]));
}

void note_jump(const __jmp_buf_tag* env) {
  G* g = on() ? this_g() : nullptr;
  if (g != nullptr) g->jump_to = stack_pointer(env);
}

void restore_mask(const __jmp_buf_tag* env) {
  if (on() && env->__mask_was_saved != 0)
    signal_mask(SIG_SETMASK, reinterpret_cast<const sigset_t*>(&env->__saved_mask), nullptr);
}

}  // namespace

#define JUMP(name)                                   \
  MN_SHIM void name(__jmp_buf_tag* env, int value) { \
    restore_mask(env);                               \
    note_jump(env);                                  \
    real.name(env, value);                           \
    __builtin_unreachable();                         \
  }

JUMP(longjmp)
JUMP(_longjmp)
JUMP(siglongjmp)

MN_SHIM void __longjmp_chk(__jmp_buf_tag* env, int value) {
  restore_mask(env);
  note_jump(env);
  real.__longjmp_chk(env, value);
}
