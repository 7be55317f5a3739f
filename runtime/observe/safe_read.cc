// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/safe_read.h"

#include <sys/uio.h>

#include "runtime/os/syscall.h"

namespace mn {

size_t safe_read(uint64_t address, void* to, size_t size) {
  iovec local{to, size};
  iovec remote{reinterpret_cast<void*>(address), size};
  // Which thread of the process is named does not matter.
  long n = raw_syscall(SYS_process_vm_readv, sys_gettid(), sys_arg(&local), 1, sys_arg(&remote), 1, 0);
  return n < 0 ? 0 : static_cast<size_t>(n);
}

}  // namespace mn
