// SPDX-License-Identifier: Apache-2.0
// What libmn knows of a descriptor, in a table by number. Descriptors come and go behind our back (fclose, close_range,
// raw system calls, the kernel's SCM_RIGHTS), so all of it is a hint that the next use corrects. Only the list of
// threads that wait is exact.
//
// Kinds, by what a call that must not block can be made with:
//   kSocket     MSG_DONTWAIT
//   kNowait     preadv2/pwritev2 with RWF_NOWAIT: pipes and, since Linux 6.x, some of the anonymous inodes
//   kPollFirst  poll(2) with no timeout, then the call, which another reader may make block: FIFOs
//   kDevice     the same, and a write must stay whole (a packet for tun, an answer for FUSE): terminals, devices, and
//               what the kernel's anonymous inodes cannot do otherwise
//   kDirect     readiness means nothing: files, directories, /dev/null. The call blocks its M.
// A wrong kind shows itself: ENOTSOCK, EOPNOTSUPP, or EPERM from epoll_ctl.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/lock.h"

namespace mn {

struct FdWait;

enum class FdKind : uint8_t { kUnknown, kSocket, kNowait, kPollFirst, kDevice, kDirect };

// Operations that wait, oldest first.
struct FdQueue {
  FdWait* first = nullptr;
  FdWait* last = nullptr;
};
enum FdTurn : uint8_t { kReaders, kWriters, kWatchers, kTurns };  // io/wait.h

struct FdState {
  SpinLock lock;  // comes before wait-queue buckets; two of them by number
  std::atomic<FdKind> kind{FdKind::kUnknown};
  uint32_t set = 0;  // lock: generation of the epoll set that it is believed to be in; 0: none
  int fd = -1;
  std::atomic<uint8_t> misses{0}, poll_misses{0};  // attempts in a row that would have blocked (transfer.h)
  std::atomic<uint32_t> no_timeouts{0};            // transfer.cc
  std::atomic<uint32_t> own{0};          // epoch of sharing in which this process made the file; 0: it did not
  std::atomic<uint32_t> flags_known{0};  // epoch of flags in which `nonblocking` is known to be right
  std::atomic<bool> nonblocking{false};
  uint32_t armed = 0;  // lock: events that the epoll set reports, once
  int kept = 0;        // lock: operations that hold this descriptor, our duplicate of one that the program closed
  // Counts the files that had this number. Readiness that is reported of an earlier one, which lives on under another
  // number or in another process, is nobody's here.
  std::atomic<uint32_t> era{0};
  std::atomic<uint32_t> waits{0};  // operations that have waited for it; written under the lock
  uint8_t in_service = 0;          // lock: bits 1 << FdTurn, see io/wait.h
  FdQueue queues[kTurns];          // lock
};

constexpr unsigned kFdsTogether = 1024;  // states are made so many at a time
constexpr unsigned kLastFd = 1024 * kFdsTogether - 1;

// Null: beyond the table (the limit is a million), or no memory: treat it as kDirect.
FdState* fd_state(int fd);
// Null, too, when nothing was ever asked of its neighbourhood.
FdState* fd_state_if_any(int fd);
// Every state with operations of a share of all numbers: `count` eighths, beginning with `first`. Inside.
constexpr unsigned kFdShares = 8;
void fd_for_each_waited(unsigned count, unsigned first, void (*visit)(FdState* s));

// As the kernel describes it, if unknown.
FdKind fd_kind(FdState* s);
inline void fd_set_kind(FdState* s, FdKind kind) {
  s->kind.store(kind, std::memory_order_relaxed);
}
// RWF_NOWAIT is not for this one.
void fd_no_nowait(FdState* s);

// Whether the program set O_NONBLOCK, which belongs to the open file. Asked of the kernel, except for a socket that
// this process made, while it shares none of its files with another process and nobody in it has changed flags.
bool fd_nonblocking(FdState* s);
bool fd_nonblocking(int fd);
void fd_created(int fd, bool nonblocking);  // a socket, by this process
void fd_made(int fd);                       // anything else: what was known of the number is out of date
void fd_forget(FdState* s);
void fd_flags_changed();
void fds_shared();

// Descriptors of our own are duplicated to numbers that programs hardly ever reach by themselves. -1: none free.
int fd_high_duplicate(int fd);

// In a forked child.
void fds_reset_after_fork();

}  // namespace mn
