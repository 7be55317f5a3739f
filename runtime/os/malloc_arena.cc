// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/malloc_arena.h"

#include <link.h>
#include <string.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

// Found once: in a forked child the first thread is one that may have another arena.
constinit ptrdiff_t g_offset = 0;
constinit void* g_arena = nullptr;

struct Segment {
  uintptr_t low = 0, size = 0;
};

int find_libcs_data(dl_phdr_info* info, size_t, void* arg) {
  auto probe = reinterpret_cast<uintptr_t>(real.pthread_create);
  bool libc = false;
  Segment data;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& ph = info->dlpi_phdr[i];
    if (ph.p_type != PT_LOAD) continue;
    uintptr_t low = info->dlpi_addr + ph.p_vaddr;
    if (probe - low < ph.p_memsz) libc = true;
    if ((ph.p_flags & PF_W) != 0) data = {low, ph.p_memsz};
  }
  if (libc) *static_cast<Segment*>(arg) = data;
  return libc ? 1 : 0;
}

void* word_at(const void* tp, ptrdiff_t offset) {
  void* word;
  memcpy(&word, static_cast<const char*>(tp) + offset, sizeof word);
  return word;
}

void find(const void* main_tp) {
  Segment data;
  ::dl_iterate_phdr(find_libcs_data, &data);
  int found = 0;
  auto size = static_cast<ptrdiff_t>(tcb_layout.libc_tls_size);
  for (ptrdiff_t at = 0; at + static_cast<ptrdiff_t>(sizeof(void*)) <= size; at += sizeof(void*)) {
    ptrdiff_t offset = tcb_layout.libc_tls + at;
    void* mains = word_at(main_tp, offset);
    if (word_at(thread_pointer(), offset) != nullptr) continue;
    if (reinterpret_cast<uintptr_t>(mains) - data.low >= data.size) continue;
    g_offset = offset;
    g_arena = mains;
    ++found;
  }
  if (found != 1) g_arena = nullptr;
}

}  // namespace

void use_mains_malloc_arena(const void* main_tp) {
  if (g_arena == nullptr && main_tp != nullptr) find(main_tp);
  if (g_arena != nullptr) memcpy(static_cast<char*>(thread_pointer()) + g_offset, &g_arena, sizeof g_arena);
}

}  // namespace mn
