// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <atomic>

#include "runtime/os/syscall.h"

namespace mn {
namespace {

constexpr int kLowestFd = 900;  // far above the numbers that programs get
constinit int g_fd = 2;
constinit std::atomic<uint64_t> g_lines{0};

}  // namespace

void output_keep() {
  if (g_fd != 2) return;
  long fd = raw_syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, kLowestFd);
  if (fd >= 0) g_fd = static_cast<int>(fd);
}

void output_only() {
  constexpr unsigned kUnshare = 1u << 1;  // CLOSE_RANGE_UNSHARE
  raw_syscall(SYS_close_range, g_fd + 1, ~0u, kUnshare);
  if (g_fd > 0) raw_syscall(SYS_close_range, 0, g_fd - 1);
}

uint64_t output_lines() {
  return g_lines.load(std::memory_order_relaxed);
}

void output(const Text& line) {
  g_lines.fetch_add(1, std::memory_order_relaxed);
  const char* data = line.data();
  auto left = static_cast<long>(line.size());
  while (left > 0) {
    long n = raw_syscall(SYS_write, g_fd, sys_arg(data), left);
    if (n == -EAGAIN) {
      pollfd full{g_fd, POLLOUT, 0};
      raw_syscall(SYS_poll, sys_arg(&full), 1, -1);
      continue;
    }
    if (n == -EINTR) continue;
    if (n <= 0) return;
    data += n;
    left -= n;
  }
}

}  // namespace mn
