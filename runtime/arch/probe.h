// SPDX-License-Identifier: Apache-2.0
// Access to the program's memory that may not be there, for system calls that we serve: the kernel answers EFAULT, and
// so must we. Each function makes its access in one instruction, known by address. When that faults, the handler of
// SIGSEGV or SIGBUS (thread/fault.cc) resumes at an instruction that returns the failure: an access that succeeds costs
// nothing. That needs a handler, and the signals unblocked, or the kernel kills.
//
// Rejected: asking the kernel every time (a system call costs ten times what the rest of a wait does); remembering
// which pages were there (they may go).
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/check.h"

namespace mn {

extern "C" {
// The word; -1: fault.
MN_HIDDEN int64_t mn_probe_load(const uint32_t* from);
// Compares and exchanges, a full fence; the word that was there, or -1: fault.
MN_HIDDEN int64_t mn_probe_exchange(uint32_t* at, uint32_t expected, uint32_t desired);
// 0; -1: fault, when part of it may have been copied.
MN_HIDDEN int64_t mn_probe_copy(void* to, const void* from, size_t size);
}

// In a handler: whether one of the above caused the fault. If so the thread resumes with the failure.
bool probe_recover(void* ucontext);

}  // namespace mn
