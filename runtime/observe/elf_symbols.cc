// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/elf_symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <initializer_list>

#include "runtime/os/memory.h"

namespace mn {
namespace {

struct File {
  const char* data;
  size_t size;

  template <class T>
  const T* at(uint64_t offset, uint64_t count = 1) const {
    uint64_t bytes, end;
    if (__builtin_mul_overflow(count, sizeof(T), &bytes) || __builtin_add_overflow(offset, bytes, &end)) return nullptr;
    return end <= size && offset % alignof(T) == 0 ? reinterpret_cast<const T*>(data + offset) : nullptr;
  }

  const char* text(const Elf64_Shdr& strings, uint64_t index) const {
    const char* table = at<char>(strings.sh_offset, strings.sh_size);
    if (table == nullptr || index >= strings.sh_size) return nullptr;
    return memchr(table + index, '\0', strings.sh_size - index) != nullptr ? table + index : nullptr;
  }
};

// Of several that fit the one that begins last; of aliases the first that has a size.
const char* search(const File& file, const Elf64_Shdr& table, const Elf64_Shdr& strings, uint64_t address,
                   uint64_t* offset) {
  uint64_t n = table.sh_size / sizeof(Elf64_Sym);
  const auto* symbols = file.at<Elf64_Sym>(table.sh_offset, n);
  const Elf64_Sym* best = nullptr;
  for (uint64_t i = 0; symbols != nullptr && i < n; ++i) {
    const Elf64_Sym& s = symbols[i];
    if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx == SHN_UNDEF || s.st_value > address) continue;
    // Assembly may leave the size out.
    if (s.st_size != 0 && address >= s.st_value + s.st_size) continue;
    if (best != nullptr && (s.st_value < best->st_value || (s.st_value == best->st_value && best->st_size != 0)))
      continue;
    best = &s;
  }
  if (best == nullptr) return nullptr;
  *offset = address - best->st_value;
  return file.text(strings, best->st_name);
}

}  // namespace

const char* map_file(const char* path, size_t* size) {
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return nullptr;
  struct stat status;
  long p = -1;
  if (raw_syscall(SYS_fstat, fd, sys_arg(&status)) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    *size = static_cast<size_t>(status.st_size);
    p = raw_syscall(SYS_mmap, 0, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  raw_syscall(SYS_close, fd);
  if (p < 0 && p >= -4095) return nullptr;
  const auto* file = reinterpret_cast<const char*>(p);
  if (*size > sizeof(Elf64_Ehdr) && memcmp(file, ELFMAG, SELFMAG) == 0 && file[EI_CLASS] == ELFCLASS64) return file;
  unmap_memory(const_cast<char*>(file), *size);
  return nullptr;
}

const char* elf_symbol(const char* data, size_t size, uint64_t address, uint64_t* offset) {
  File file{data, size};
  const auto* header = file.at<Elf64_Ehdr>(0);
  if (header == nullptr || header->e_shentsize != sizeof(Elf64_Shdr)) return nullptr;
  const auto* sections = file.at<Elf64_Shdr>(header->e_shoff, header->e_shnum);
  if (sections == nullptr) return nullptr;
  for (uint32_t wanted : {SHT_SYMTAB, SHT_DYNSYM}) {
    for (int i = 0; i < header->e_shnum; ++i) {
      if (sections[i].sh_type != wanted || sections[i].sh_link >= header->e_shnum) continue;
      if (const char* name = search(file, sections[i], sections[sections[i].sh_link], address, offset)) return name;
    }
  }
  return nullptr;
}

}  // namespace mn
