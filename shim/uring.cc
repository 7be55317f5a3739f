// SPDX-License-Identifier: Apache-2.0
// Those of liburing's functions that tie a ring to the kernel thread that calls them. The library makes system calls by
// itself, where nobody can stand in front of them. It is there in few programs, so its functions are looked up when
// they are called.
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>

#include "runtime/thread/kernel_state.h"
#include "shim/shim.h"

using namespace mn;

namespace {

struct io_uring;     // liburing's
struct Parameters {  // linux/io_uring.h, struct io_uring_params
  uint32_t sq_entries, cq_entries, flags;
};

constexpr uint32_t kSingleIssuer = 1u << 12, kDeferTaskrun = 1u << 13;

// In a library that was loaded for itself (RTLD_LOCAL) it is not behind us in the search order.
void* find(const char* name) {
  if (void* next = ::dlsym(RTLD_NEXT, name)) return next;
  void* library = ::dlopen("liburing.so.2", RTLD_LAZY | RTLD_NOLOAD);
  return library != nullptr ? ::dlsym(library, name) : nullptr;
}

template <class... Args>
int call(const char* name, bool binds, Args... args) {
  auto function = reinterpret_cast<int (*)(Args...)>(find(name));
  if (function == nullptr) return -ENOSYS;
  if (binds && on()) keep_kernel_state(Kept::kBound);
  return function(args...);
}

bool has_one_issuer(uint32_t flags) {
  return (flags & (kSingleIssuer | kDeferTaskrun)) != 0;
}

}  // namespace

MN_SHIM int io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags) {
  return call("io_uring_queue_init", has_one_issuer(flags), entries, ring, flags);
}
MN_SHIM int io_uring_queue_init_params(unsigned entries, io_uring* ring, Parameters* p) {
  return call("io_uring_queue_init_params", has_one_issuer(p->flags), entries, ring, p);
}
MN_SHIM int io_uring_queue_init_mem(unsigned entries, io_uring* ring, Parameters* p, void* buffer, size_t size) {
  return call("io_uring_queue_init_mem", has_one_issuer(p->flags), entries, ring, p, buffer, size);
}
MN_SHIM int io_uring_setup(unsigned entries, Parameters* p) {
  return call("io_uring_setup", has_one_issuer(p->flags), entries, p);
}
MN_SHIM int io_uring_enable_rings(io_uring* ring) {
  return call("io_uring_enable_rings", true, ring);
}
MN_SHIM int io_uring_register_ring_fd(io_uring* ring) {
  return call("io_uring_register_ring_fd", true, ring);
}
MN_SHIM int io_uring_register_iowq_aff(io_uring* ring, size_t size, const void* mask) {
  return call("io_uring_register_iowq_aff", true, ring, size, mask);
}
MN_SHIM int io_uring_register_iowq_max_workers(io_uring* ring, unsigned* values) {
  return call("io_uring_register_iowq_max_workers", true, ring, values);
}
