// SPDX-License-Identifier: Apache-2.0
// Executing another program. What is pending for the thread that does, and for the process, stays pending (POSIX exec):
// notes go to the kernel before, and come back if the call fails.
#pragma once

#include <errno.h>

#include <cstdint>

namespace mn {

// Outside. The caller must not go inside between the two. What exec_failed needs.
uint64_t exec_begin();
void exec_failed(uint64_t given);

// `call` is one of libc's that returns only when it fails, with errno.
template <class Call>
int executed(Call call) {
  uint64_t given = exec_begin();
  int result = call();
  int saved = errno;
  exec_failed(given);
  errno = saved;
  return result;
}

}  // namespace mn
