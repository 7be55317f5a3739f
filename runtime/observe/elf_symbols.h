// SPDX-License-Identifier: Apache-2.0
// Names of functions from the symbol tables of an ELF file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

// Null: it cannot be read, or is no file for this machine.
const char* map_file(const char* path, size_t* size);

// The function that holds `address` (as the file counts them) and how far into it that is. The full table is looked at
// first, then the dynamic one. Null: none; files may be damaged. The name lies within the file.
const char* elf_symbol(const char* file, size_t size, uint64_t address, uint64_t* offset);

}  // namespace mn
