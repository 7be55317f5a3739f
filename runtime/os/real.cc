// SPDX-License-Identifier: Apache-2.0
// Looks libc's functions up behind libmn in the search order. dlsym without a version gives the default one, which is
// what a program linked today would get (pthread_cond_* has an older, incompatible set).
#include "runtime/os/real.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

namespace mn {

constinit Real real{};

namespace {

struct Owner {
  uintptr_t address;
  bool is_libc = false;
};

// dladdr would look for a name among all of libc's.
int visit_object(dl_phdr_info* info, size_t, void* arg) {
  auto* owner = static_cast<Owner*>(arg);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || owner->address - info->dlpi_addr - segment.p_vaddr >= segment.p_memsz) continue;
    owner->is_libc = strstr(info->dlpi_name, LIBC_SO) != nullptr;
    return 1;
  }
  return 0;
}

void load_own_clock() {
  real.libcs_clock_gettime = real.clock_gettime;
  Owner next{reinterpret_cast<uintptr_t>(real.clock_gettime)};
  ::dl_iterate_phdr(visit_object, &next);
  if (next.is_libc) return;
  void* libc = ::dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
  if (libc == nullptr) return;
  if (void* own = ::dlsym(libc, "clock_gettime"))
    real.libcs_clock_gettime = reinterpret_cast<decltype(&::clock_gettime)>(own);
}

}  // namespace

const char* real_load() {
  struct Entry {
    const char* name;
    void** slot;
    bool later = false;
  };
  static const Entry entries[] = {
#define REAL(name) {#name, reinterpret_cast<void**>(&real.name)},
#define EXPORT_LATER(name) {#name, reinterpret_cast<void**>(&real.name), true},
#define PRIVATE(name, type) {#name, reinterpret_cast<void**>(&real.name)},
#include "runtime/os/real.def"
  };
  const char* missing = nullptr;
  // To the end: what is there is called even where calls only pass through. (Saying that one is missing, dlsym
  // allocates.)
  for (const Entry& e : entries) {
    *e.slot = ::dlsym(RTLD_NEXT, e.name);
    if (*e.slot == nullptr && !e.later && missing == nullptr) missing = e.name;
  }
  load_own_clock();
  return missing;
}

}  // namespace mn
