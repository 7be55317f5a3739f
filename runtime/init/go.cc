// SPDX-License-Identifier: Apache-2.0
#include "runtime/init/go.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

namespace mn {
namespace {

constexpr uint32_t kBuildId = 4;  // Go's cmd/internal/buildid
constexpr char kName[] = "Go";

size_t padded(size_t size, size_t align) {
  return (size + align - 1) & ~(align - 1);
}

bool has_build_id(const char* notes, size_t size, size_t align) {
  const size_t name_align = 4;
  while (size >= sizeof(ElfW(Nhdr))) {
    const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(notes);
    const char* name = notes + sizeof *note;
    if (note->n_type == kBuildId && note->n_namesz >= sizeof kName && memcmp(name, kName, sizeof kName) == 0)
      return true;
    size_t whole = padded(sizeof *note + padded(note->n_namesz, name_align) + note->n_descsz, align);
    if (whole > size) break;
    notes += whole;
    size -= whole;
  }
  return false;
}

}  // namespace

bool is_go_program() {
  const auto* phdr = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
  size_t n = getauxval(AT_PHNUM);
  if (phdr == nullptr) return false;
  uintptr_t base = 0;
  for (size_t i = 0; i < n; ++i)
    if (phdr[i].p_type == PT_PHDR) base = reinterpret_cast<uintptr_t>(phdr) - phdr[i].p_vaddr;
  for (size_t i = 0; i < n; ++i)
    if (phdr[i].p_type == PT_NOTE && has_build_id(reinterpret_cast<const char*>(base + phdr[i].p_vaddr),
                                                  phdr[i].p_memsz, phdr[i].p_align == 8 ? 8 : 4))
      return true;
  return false;
}

}  // namespace mn
