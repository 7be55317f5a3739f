// SPDX-License-Identifier: Apache-2.0
// Table of two levels; chunks are made when first needed and never freed.
#include "runtime/io/fd.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <new>

#include "runtime/io/netpoll.h"
#include "runtime/os/confined.h"
#include "runtime/os/memory.h"

namespace mn {
namespace {

constexpr int kChunk = kFdsTogether, kChunks = (kLastFd + 1) / kFdsTogether;
constexpr int kHighFd = 960;            // under the usual limit of 1,024
constexpr unsigned kMemoryDevices = 1;  // Linux Documentation/admin-guide/devices.txt

constinit std::atomic<FdState*> g_chunks[kChunks];
constinit std::atomic<uint32_t> g_sharing_epoch{1}, g_flags_epoch{1};

FdState* new_chunk(int index) {
  size_t size = round_up(sizeof(FdState) * kChunk, kPageSize);
  auto* chunk = static_cast<FdState*>(map_memory(size));
  if (chunk == nullptr) return nullptr;
  for (int i = 0; i < kChunk; ++i) (new (&chunk[i]) FdState)->fd = index * kChunk + i;
  FdState* none = nullptr;
  // Acq_rel: pairs with the acquire loads below; the chunk is complete.
  if (g_chunks[index].compare_exchange_strong(none, chunk, std::memory_order_acq_rel)) return chunk;
  unmap_memory(chunk, size);
  return none;
}

FdKind kind_of(int fd) {
  struct stat st;
  if (raw_syscall(SYS_fstat, fd, sys_arg(&st)) != 0) return FdKind::kUnknown;
  switch (st.st_mode & S_IFMT) {
    case S_IFSOCK:
      return FdKind::kSocket;
    case S_IFREG:
    case S_IFDIR:
    case S_IFBLK:
      return FdKind::kDirect;
    case S_IFCHR:
      return gnu_dev_major(st.st_rdev) == kMemoryDevices ? FdKind::kDirect : FdKind::kDevice;
    default:
      return FdKind::kNowait;
  }
}

void know_flags(FdState* s, bool nonblocking, uint32_t epoch) {
  s->nonblocking.store(nonblocking, std::memory_order_relaxed);
  s->flags_known.store(epoch, std::memory_order_release);  // Release: pairs with fd_nonblocking.
}

}  // namespace

FdState* fd_state_if_any(int fd) {
  if (fd < 0 || fd >= kChunk * kChunks) return nullptr;
  FdState* chunk = g_chunks[fd / kChunk].load(std::memory_order_acquire);  // Acquire: pairs with new_chunk.
  return chunk == nullptr ? nullptr : &chunk[fd % kChunk];
}

FdState* fd_state(int fd) {
  FdState* s = fd_state_if_any(fd);
  if (MN_LIKELY(s != nullptr)) return s;
  if (fd < 0 || fd >= kChunk * kChunks) return nullptr;
  FdState* chunk = new_chunk(fd / kChunk);
  return chunk == nullptr ? nullptr : &chunk[fd % kChunk];
}

void fd_for_each_waited(unsigned count, unsigned first, void (*visit)(FdState* s)) {
  for (auto& chunk : g_chunks) {
    FdState* states = chunk.load(std::memory_order_acquire);  // Acquire: pairs with new_chunk.
    if (states == nullptr) continue;
    for (unsigned i = 0; i < kChunk; ++i)
      if ((i - first) % kFdShares < count && states[i].waits.load(std::memory_order_relaxed) != 0) visit(&states[i]);
  }
}

FdKind fd_kind(FdState* s) {
  FdKind kind = s->kind.load(std::memory_order_relaxed);
  if (MN_LIKELY(kind != FdKind::kUnknown)) return kind;
  kind = kind_of(s->fd);
  fd_set_kind(s, kind);
  return kind;
}

void fd_no_nowait(FdState* s) {
  struct stat st;
  bool fifo = raw_syscall(SYS_fstat, s->fd, sys_arg(&st)) == 0 && S_ISFIFO(st.st_mode);
  fd_set_kind(s, fifo ? FdKind::kPollFirst : FdKind::kDevice);
}

bool fd_nonblocking(int fd) {
  long flags = raw_syscall(SYS_fcntl, fd, F_GETFL);
  if (MN_UNLIKELY(refused(flags))) {
    netpoll_give_up();
    return false;
  }
  return flags < 0 || (flags & O_NONBLOCK) != 0;
}

bool fd_nonblocking(FdState* s) {
  uint32_t flags = g_flags_epoch.load(std::memory_order_relaxed);
  // Acquire: pairs with know_flags.
  if (MN_LIKELY(s->flags_known.load(std::memory_order_acquire) == flags))
    return s->nonblocking.load(std::memory_order_relaxed);
  bool nonblocking = fd_nonblocking(s->fd);
  if (s->own.load(std::memory_order_relaxed) == g_sharing_epoch.load(std::memory_order_relaxed))
    know_flags(s, nonblocking, flags);
  return nonblocking;
}

void fd_created(int fd, bool nonblocking) {
  FdState* s = fd_state(fd);
  if (s == nullptr) return;
  fd_forget(s);
  fd_set_kind(s, FdKind::kSocket);
  s->own.store(g_sharing_epoch.load(std::memory_order_relaxed), std::memory_order_relaxed);
  know_flags(s, nonblocking, g_flags_epoch.load(std::memory_order_relaxed));
}

void fd_forget(FdState* s) {
  fd_set_kind(s, FdKind::kUnknown);
  s->misses.store(0, std::memory_order_relaxed);
  s->poll_misses.store(0, std::memory_order_relaxed);
  s->no_timeouts.store(0, std::memory_order_relaxed);
  s->own.store(0, std::memory_order_relaxed);
  s->flags_known.store(0, std::memory_order_relaxed);
  s->era.fetch_add(1, std::memory_order_relaxed);
  // Nobody waits: no lock is needed to doubt the registration.
  if (s->waits.load(std::memory_order_relaxed) == 0) s->set = s->armed = 0;
}

void fd_made(int fd) {
  if (FdState* s = fd_state_if_any(fd)) fd_forget(s);
}

void fd_flags_changed() {
  g_flags_epoch.fetch_add(1, std::memory_order_relaxed);
}

void fds_shared() {
  g_sharing_epoch.fetch_add(1, std::memory_order_relaxed);
  fd_flags_changed();
}

int fd_high_duplicate(int fd) {
  rlimit limit{};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, sys_arg(&limit));
  long lowest = limit.rlim_cur > kHighFd ? kHighFd : static_cast<long>(limit.rlim_cur / 2);
  long high = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest);
  return high < 0 ? -1 : static_cast<int>(high);
}

void fds_reset_after_fork() {
  for (auto& chunk : g_chunks) {
    FdState* states = chunk.load(std::memory_order_relaxed);
    if (states == nullptr) continue;
    for (int i = 0; i < kChunk; ++i) {
      // What was not touched is left alone: it is shared with the parent.
      if (states[i].waits.load(std::memory_order_relaxed) == 0 && states[i].set == 0 && states[i].kept == 0) continue;
      states[i].lock.reset_after_fork();
      if (states[i].kept != 0) raw_syscall(SYS_close, states[i].fd);
      states[i].set = 0;
      states[i].armed = 0;
      states[i].kept = 0;
      states[i].in_service = 0;
      states[i].waits.store(0, std::memory_order_relaxed);
      for (FdQueue& queue : states[i].queues) queue = {};
    }
  }
}

}  // namespace mn
