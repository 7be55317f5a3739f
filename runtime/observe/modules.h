// SPDX-License-Identifier: Apache-2.0
// Program and libraries as they are mapped, by the kernel's account (/proc/self/maps): no lock of ld.so's is taken and
// nothing is allocated from the program's heap. For one observer at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/base/text.h"

namespace mn {

struct Module {
  const char* path;    // or [vdso]
  uint64_t low, high;  // of all its mappings
  bool code;           // one of them is executable
  bool parsed;
  uint64_t bias;         // from addresses in the file to those in memory
  uint64_t frame_index;  // where its .eh_frame_hdr is; 0: it has none
  const char* file;      // mapped to look up symbols; null: not tried or not possible
  size_t file_size;
  bool file_tried;
};

class Modules {
 public:
  // Reads the map anew; what find() gave before is void. Several hundred modules, if not all, fit in.
  void map();
  void unmap();

  // The module that `address` lies in, parsed; null: none.
  Module* find(uint64_t address);

  // "name+0x12 (/path+0x345)", or what of it is known. `code`: an address within the instruction that is meant.
  void describe(uint64_t address, uint64_t code, Text* out);

 private:
  struct Symbol {
    const char* name;  // null: not found
    uint64_t offset;
  };
  bool add_line(const char* line, const char* end);
  void parse(Module* m);
  Symbol symbol_at(Module* m, uint64_t address);

  static constexpr size_t kMost = 1024, kPathBytes = 64 * 1024, kCache = 1024;
  struct Cached {
    uint64_t address;
    Symbol symbol;
  };
  Module modules_[kMost] = {};
  char paths_[kPathBytes] = {};
  Cached cache_[kCache] = {};
  size_t n_ = 0;
  size_t path_bytes_ = 0;
};

}  // namespace mn
