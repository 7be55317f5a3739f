// SPDX-License-Identifier: Apache-2.0
// Address space from the kernel, by raw system calls: nothing here goes through the program's malloc.
#pragma once

#include <sys/mman.h>

#include <cstddef>

#include "runtime/os/confined.h"
#include "runtime/os/syscall.h"

namespace mn {

inline size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

constexpr size_t kPageSize = 4096;

// Zeroed, not reserved, read-write memory; null when the kernel refuses.
inline void* map_memory(size_t size, bool executable = false) {
  if (MN_UNLIKELY(!may_use(kMemory))) return nullptr;
  long p = raw_syscall(SYS_mmap, 0, static_cast<long>(size), PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0),
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p < 0 && p >= -4095 ? nullptr : reinterpret_cast<void*>(p);
}

inline void unmap_memory(void* p, size_t size) {
  raw_syscall(SYS_munmap, sys_arg(p), static_cast<long>(size));
}

inline long advise_memory(void* p, size_t size, int advice) {
  return raw_syscall(SYS_madvise, sys_arg(p), static_cast<long>(size), advice);
}

inline long protect_memory(void* p, size_t size, int prot) {
  return raw_syscall(SYS_mprotect, sys_arg(p), static_cast<long>(size), prot);
}

}  // namespace mn
