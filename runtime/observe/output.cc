// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <atomic>

#include "runtime/os/syscall.h"

namespace mn {
namespace {

// Far above the numbers that programs get. But some close all that they do not know (varnish's children do), and the
// number may be a client's by now: is it still that file?
constexpr int kLowestFd = 900;
constinit int g_copy = -1;
constinit struct stat g_file {};
constinit std::atomic<uint64_t> g_lines{0};

bool copy_is_ours() {
  struct stat now;
  return g_copy >= 0 && raw_syscall(SYS_fstat, g_copy, sys_arg(&now)) == 0 && now.st_dev == g_file.st_dev &&
         now.st_ino == g_file.st_ino;
}

int fd() {
  return copy_is_ours() ? g_copy : 2;
}

}  // namespace

void output_keep() {
  if (raw_syscall(SYS_fstat, 2, sys_arg(&g_file)) != 0) return;
  g_copy = static_cast<int>(raw_syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, kLowestFd));
}

void output_only() {
  constexpr unsigned kUnshare = 1u << 1;  // CLOSE_RANGE_UNSHARE
  int keep = fd();
  raw_syscall(SYS_close_range, keep + 1, ~0u, kUnshare);
  raw_syscall(SYS_close_range, 0, keep - 1);
}

uint64_t output_lines() {
  return g_lines.load(std::memory_order_relaxed);
}

void output(const Text& line) {
  g_lines.fetch_add(1, std::memory_order_relaxed);
  int to = fd();
  const char* data = line.data();
  auto left = static_cast<long>(line.size());
  while (left > 0) {
    long n = raw_syscall(SYS_write, to, sys_arg(data), left);
    if (n == -EAGAIN) {
      pollfd full{to, POLLOUT, 0};
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
