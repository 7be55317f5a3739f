// SPDX-License-Identifier: Apache-2.0
// Jumps that restore a signal mask: libc sets the kernel's, the G's is set here. In glibc longjmp, _longjmp and
// siglongjmp are one function, and the buffer says whether a mask was saved.
#include <setjmp.h>
#include <string.h>

#include "runtime/thread/signal.h"
#include "shim/shim.h"

using namespace mn;

namespace {

void restore_mask(const __jmp_buf_tag* env) {
  if (on() && env->__mask_was_saved != 0)
    signal_mask(SIG_SETMASK, reinterpret_cast<const sigset_t*>(&env->__saved_mask), nullptr);
}

}  // namespace

#define JUMP(name)                                   \
  MN_SHIM void name(__jmp_buf_tag* env, int value) { \
    restore_mask(env);                               \
    real.name(env, value);                           \
    __builtin_unreachable();                         \
  }

JUMP(longjmp)
JUMP(_longjmp)
JUMP(siglongjmp)

MN_SHIM void __longjmp_chk(__jmp_buf_tag* env, int value) {
  restore_mask(env);
  real.__longjmp_chk(env, value);
}
