// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/tls_images.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

struct Image {
  ptrdiff_t offset;  // from the thread pointer
  const void* bytes;
  size_t filled, size;  // what follows `bytes` is zero
};

constexpr size_t kMostImages = 64;
constinit Image g_images[kMostImages]{};
constinit size_t g_n_images = 0;
// Of the place behind the last module of the start; null: nothing was learnt.
constinit const std::atomic<size_t>* g_next_gen = nullptr;
constinit const std::atomic<void*>* g_next_map = nullptr;

// ld.so's list of modules, as libc describes it.
struct Places {
  const char* list = nullptr;
  size_t length = 0;
  size_t first, each, map, gen;

  bool find();
  const std::atomic<void*>* map_of(size_t module) const {
    return reinterpret_cast<const std::atomic<void*>*>(list + first + module * each + map);
  }
  const std::atomic<size_t>* gen_of(size_t module) const {
    return reinterpret_cast<const std::atomic<size_t>*>(list + first + module * each + gen);
  }
};

bool Places::find() {
  const auto* global = static_cast<const char*>(::dlsym(RTLD_DEFAULT, "_rtld_global"));
  const auto* size = static_cast<const uint32_t*>(::dlsym(RTLD_DEFAULT, "_thread_db_sizeof_dtv_slotinfo"));
  size_t head, len;
  if (global == nullptr || size == nullptr ||
      !tcb_described("_thread_db_rtld_global__dl_tls_dtv_slotinfo_list", &head) ||
      !tcb_described("_thread_db_dtv_slotinfo_list_len", &len) ||
      !tcb_described("_thread_db_dtv_slotinfo_list_slotinfo", &first) ||
      !tcb_described("_thread_db_dtv_slotinfo_map", &map) || !tcb_described("_thread_db_dtv_slotinfo_gen", &gen))
    return false;
  each = *size;
  list = *reinterpret_cast<const char* const*>(global + head);
  if (list == nullptr) return false;
  length = *reinterpret_cast<const size_t*>(list + len);
  return true;
}

// Most are a few words, for which two calls would be most of the cost.
inline void restore(char* to, const Image& image) {
  constexpr size_t kWord = sizeof(uintptr_t), kFew = 8 * kWord;
  const auto* from = static_cast<const char*>(image.bytes);
  if (image.size > kFew || image.filled % kWord != 0 || image.size % kWord != 0) {
    ::memcpy(to, from, image.filled);
    ::memset(to + image.filled, 0, image.size - image.filled);
    return;
  }
  size_t at = 0;
  for (; at < image.filled; at += kWord) __builtin_memcpy(to + at, from + at, kWord);
  for (; at < image.size; at += kWord) __builtin_memset(to + at, 0, kWord);
}

struct Walk {
  const char* libc_tls;
  size_t modules = 0;
  bool good = true;
};

int note_module(dl_phdr_info* info, size_t, void* arg) {
  auto* walk = static_cast<Walk*>(arg);
  if (info->dlpi_tls_modid == 0) return 0;
  ++walk->modules;
  const auto* block = static_cast<const char*>(info->dlpi_tls_data);
  const ptrdiff_t at = block - static_cast<const char*>(thread_pointer());
  if (block == nullptr || at >= 0 || -at > static_cast<ptrdiff_t>(tcb_layout.static_size)) walk->good = false;
  if (!walk->good || block == walk->libc_tls) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& ph = info->dlpi_phdr[i];
    if (ph.p_type != PT_TLS) continue;
    if (g_n_images == kMostImages) return walk->good = false, 1;
    const auto* bytes = reinterpret_cast<const void*>(info->dlpi_addr + ph.p_vaddr);
    g_images[g_n_images++] = {at, bytes, ph.p_filesz, ph.p_memsz};
  }
  return 0;
}

}  // namespace

void tls_images_learn(const void* libc_tls) {
  g_n_images = 0;
  g_next_gen = nullptr;
  Places places;
  if (!places.find()) return;
  Walk walk{static_cast<const char*>(libc_tls)};
  ::dl_iterate_phdr(note_module, &walk);
  const size_t next = walk.modules + 1;
  if (!walk.good || next >= places.length) return;
  // The first is one of the start; libmn's is, if the program itself has none.
  const size_t start = places.gen_of(1)->load(std::memory_order_relaxed);
  for (size_t module = 1; module < next; ++module)
    if (places.map_of(module)->load(std::memory_order_relaxed) == nullptr ||
        places.gen_of(module)->load(std::memory_order_relaxed) != start)
      return;
  g_next_map = places.map_of(next);
  g_next_gen = places.gen_of(next);
}

bool tls_images_are_all() {
  return MN_LIKELY(g_next_gen != nullptr && g_next_gen->load(std::memory_order_relaxed) == 0 &&
                   g_next_map->load(std::memory_order_relaxed) == nullptr);
}

bool tls_images_restore(void* tcb) {
  if (!tls_images_are_all()) return false;
  for (size_t i = 0; i < g_n_images; ++i) {
    const Image& image = g_images[i];
    restore(static_cast<char*>(tcb) + image.offset, image);
  }
  return true;
}

}  // namespace mn
