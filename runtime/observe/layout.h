// SPDX-License-Identifier: Apache-2.0
// The table by which tools read the runtime's state from outside (layout.cc).
#pragma once

#include <cstdint>

namespace mn {

// What scripts/mnlib/layout.py must know beforehand; all else is in the table. To be raised whenever what an entry
// means changes, or the protocol of dump requests (observer.cc) does; entries may be added without.
constexpr uint32_t kLayoutVersion = 1;

struct LayoutEntry {
  char name[40];
  uint64_t size;  // bytes of the field or variable; 0: a constant
  union Value {
    constexpr Value(uint64_t n) : number(n) {}      // NOLINT(google-explicit-constructor)
    constexpr Value(const void* p) : address(p) {}  // NOLINT(google-explicit-constructor)
    uint64_t number;                                // of a field its offset
    const void* address;
  } value;
};

struct Layout {
  char magic[8];
  uint32_t version;
  uint32_t entry_size;
  uint64_t count;
  const LayoutEntry* entries;
};

extern "C" __attribute__((visibility("default"), used)) const Layout mn_layout;

// A dump request's siginfo_t::si_value: kDumpRequest above the number of a descriptor of the sender's.
constexpr uint64_t kDumpRequest = uint64_t{0x6d6e6470} << 32;

}  // namespace mn
