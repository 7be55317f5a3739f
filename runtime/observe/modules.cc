// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/modules.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>

#include "runtime/observe/elf_symbols.h"
#include "runtime/observe/safe_read.h"
#include "runtime/os/memory.h"

namespace mn {
namespace {

constexpr int kMostHeaders = 64;

bool parse_hex(const char** at, const char* end, char stop, uint64_t* out) {
  uint64_t v = 0;
  const char* p = *at;
  for (; p != end && *p != stop; ++p) {
    auto digit = static_cast<unsigned>(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    if (digit > 15) return false;
    v = v * 16 + digit;
  }
  if (p == end) return false;
  *at = p + 1;
  *out = v;
  return true;
}

const char* after_space(const char* p, const char* end) {
  while (p != end && *p != ' ') ++p;
  while (p != end && *p == ' ') ++p;
  return p;
}

bool same_path(const char* path, const char* begin, const char* end) {
  auto size = static_cast<size_t>(end - begin);
  return strncmp(path, begin, size) == 0 && path[size] == '\0';
}

// Names of templates can be longer than a line.
void put_cut(const char* text, Text* out) {
  constexpr int kMost = 200;
  for (int i = 0; text[i] != '\0'; ++i) {
    if (i == kMost) {
      *out << "...";
      return;
    }
    *out << text[i];
  }
}

}  // namespace

// "low-high perms offset device inode   path"
bool Modules::add_line(const char* line, const char* end) {
  uint64_t low, high, offset;
  if (!parse_hex(&line, end, '-', &low) || !parse_hex(&line, end, ' ', &high)) return true;
  bool code = end - line > 2 && line[2] == 'x';
  line = after_space(line, end);
  if (!parse_hex(&line, end, ' ', &offset)) return true;
  const char* path = after_space(after_space(line, end), end);
  if (path == end || (*path != '/' && !same_path("[vdso]", path, end))) return true;
  Module* last = n_ != 0 ? &modules_[n_ - 1] : nullptr;
  if (last != nullptr && offset != 0 && same_path(last->path, path, end)) {
    last->high = high;
    last->code |= code;
    return true;
  }
  if (last != nullptr && !last->code) {  // a mapped file of data
    --n_;
    path_bytes_ -= strlen(last->path) + 1;
  }
  auto size = static_cast<size_t>(end - path) + 1;
  if (n_ == kMost || path_bytes_ + size > kPathBytes) return false;
  char* copy = paths_ + path_bytes_;
  path_bytes_ += size;
  memcpy(copy, path, size - 1);
  copy[size - 1] = '\0';
  modules_[n_++] = Module{copy, low, high, code, false, 0, 0, nullptr, 0, false};
  return true;
}

void Modules::map() {
  unmap();
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg("/proc/self/maps"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  char buf[4096 + 512];  // a whole path and the rest of a line
  size_t have = 0;
  for (;;) {
    long n = raw_syscall(SYS_read, fd, sys_arg(buf + have), static_cast<long>(sizeof buf - have));
    if (n <= 0) break;
    have += static_cast<size_t>(n);
    char* line = buf;
    while (auto* end = static_cast<char*>(memchr(line, '\n', static_cast<size_t>(buf + have - line)))) {
      if (!add_line(line, end)) break;
      line = end + 1;
    }
    have -= static_cast<size_t>(line - buf);
    if (have == sizeof buf) have = 0;
    memmove(buf, line, have);
  }
  raw_syscall(SYS_close, fd);
}

void Modules::unmap() {
  for (size_t i = 0; i < n_; ++i)
    if (modules_[i].file != nullptr) unmap_memory(const_cast<char*>(modules_[i].file), modules_[i].file_size);
  for (Cached& c : cache_) c = {};
  n_ = path_bytes_ = 0;
}

Module* Modules::find(uint64_t address) {
  size_t low = 0, high = n_;
  while (low != high) {
    size_t middle = (low + high) / 2;
    if (modules_[middle].high <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == n_ || modules_[low].low > address) return nullptr;
  Module* m = &modules_[low];
  if (!m->parsed) parse(m);
  return m;
}

// The ELF header and the program headers lie at the beginning of the lowest mapping.
void Modules::parse(Module* m) {
  m->parsed = true;
  m->bias = m->low;
  Elf64_Ehdr header;
  Elf64_Phdr segments[kMostHeaders];
  if (!safe_read(m->low, &header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return;
  if (header.e_phentsize != sizeof segments[0] || header.e_phnum > kMostHeaders) return;
  size_t bytes = header.e_phnum * sizeof segments[0];
  if (safe_read(m->low + header.e_phoff, segments, bytes) != bytes) return;
  bool first = true;
  for (int i = 0; i < header.e_phnum; ++i) {
    if (segments[i].p_type != PT_LOAD || !first) continue;
    m->bias = m->low - (segments[i].p_vaddr & ~(kPageSize - 1));
    first = false;
  }
  for (int i = 0; i < header.e_phnum; ++i)
    if (segments[i].p_type == PT_GNU_EH_FRAME) m->frame_index = m->bias + segments[i].p_vaddr;
}

Modules::Symbol Modules::symbol_at(Module* m, uint64_t address) {
  Cached* cached = &cache_[address * 0x9e3779b97f4a7c15u >> 54];
  static_assert(kCache == size_t{1} << (64 - 54));
  if (cached->address == address) return cached->symbol;
  if (!m->file_tried) {
    m->file_tried = true;
    m->file = map_file(m->path, &m->file_size);
  }
  Symbol symbol{nullptr, 0};
  if (m->file != nullptr) symbol.name = elf_symbol(m->file, m->file_size, address - m->bias, &symbol.offset);
  *cached = {address, symbol};
  return symbol;
}

void Modules::describe(uint64_t address, uint64_t code, Text* out) {
  Module* m = find(code);
  Symbol s = m != nullptr ? symbol_at(m, code) : Symbol{nullptr, 0};
  if (s.name != nullptr) {
    put_cut(s.name, out);
    *out << '+' << reinterpret_cast<void*>(s.offset + (address - code));
  } else {
    *out << reinterpret_cast<void*>(address);
  }
  if (m == nullptr) return;
  *out << " (";
  put_cut(m->path, out);
  *out << '+' << reinterpret_cast<void*>(address - m->bias) << ')';
}

}  // namespace mn
