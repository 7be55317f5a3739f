// SPDX-License-Identifier: Apache-2.0
// A call on another stack. Debuggers and unwinders go through it to the caller, as through a signal's frame on an
// alternate stack; what is called may jump out.
#pragma once

#include "runtime/base/check.h"

namespace mn {

// call(arg) with the stack that ends at `top`, which is a multiple of 16.
extern "C" MN_HIDDEN void mn_call_on_stack(void (*call)(void* arg), void* arg, void* top);

}  // namespace mn
