// SPDX-License-Identifier: Apache-2.0
// The program's memory as a system call sees it: what is not there is an error of the call. For system calls that we
// serve. Inside.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

// False: EFAULT. Words are aligned.
bool load_word(const uint32_t* word, uint32_t* value);
// A full fence. False: EFAULT; otherwise *found is what was there, `expected` if it was exchanged.
bool exchange_word(uint32_t* word, uint32_t expected, uint32_t desired, uint32_t* found);
// Either side may be the program's.
bool copy_memory(void* to, const void* from, size_t size);

}  // namespace mn
