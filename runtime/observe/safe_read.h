// SPDX-License-Identifier: Apache-2.0
// Reading the process's own memory where it may not be mapped, or not any more.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

// Copies up to `size` bytes; returns how many could be read. By process_vm_readv(2) on this process, which no setting
// of ptrace's forbids; 0 where a seccomp filter does.
size_t safe_read(uint64_t address, void* to, size_t size);

template <class T>
bool safe_read(uint64_t address, T* to) {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are read, too
  return safe_read(address, static_cast<void*>(to), sizeof *to) == sizeof *to;
}

}  // namespace mn
