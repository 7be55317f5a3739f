// SPDX-License-Identifier: Apache-2.0
// A copy of the inner part of a stack, and how it is walked and printed.
#pragma once

#include "runtime/arch/context.h"
#include "runtime/observe/modules.h"

namespace mn {

// Of registers that are not known 0 is enough.
struct StackCopy {
  static constexpr size_t kBytes = 32 * 1024;  // what lies further out is read where it is
  SavedRegisters registers;
  size_t size = 0;
  char bytes[kBytes] = {};

  // Safe in signal handlers, and while the stack's owner is being held.
  void take(const SavedRegisters& r);
};

// Prints "    #0 name+0x12 (/path+0x345)" for each frame. Where the walk by libunwind cannot go on, or there is no
// companion, what looks like a return address is shown with a question mark.
void print_stack(const StackCopy& stack, Modules* modules);

}  // namespace mn
