// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include <atomic>

#include "runtime/os/confined.h"
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

// A pipe that another process reads. In large pieces, or each line would wake it.
constexpr int kPatienceMs = 5000;  // for a reader that does not read
struct Pipe {
  std::atomic<int> writer{0};  // the kernel thread that writes to it; 0: none does
  int fd;
  bool lost;
  size_t size;
  char bytes[64 * 1024];
};
constinit Pipe g_pipe{};

void flush_pipe() {
  size_t done = 0;
  while (done != g_pipe.size && !g_pipe.lost) {
    long n = raw_syscall(SYS_write, g_pipe.fd, sys_arg(g_pipe.bytes + done), static_cast<long>(g_pipe.size - done));
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    pollfd full{g_pipe.fd, POLLOUT, 0};
    g_pipe.lost = n != -EAGAIN || raw_syscall(SYS_poll, sys_arg(&full), 1, kPatienceMs) <= 0;
  }
  g_pipe.size = 0;
}

void put_in_pipe(const Text& line) {
  if (g_pipe.size + line.size() > sizeof g_pipe.bytes) flush_pipe();
  memcpy(g_pipe.bytes + g_pipe.size, line.data(), line.size());
  g_pipe.size += line.size();
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

bool output_to_pipe(const char* path) {
  // Does not wait: there is a reader, or none will come.
  long opened = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(path), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (opened < 0) return false;
  g_pipe.fd = static_cast<int>(opened);
  struct stat what;
  if (raw_syscall(SYS_fstat, g_pipe.fd, sys_arg(&what)) != 0 || !S_ISFIFO(what.st_mode)) {
    raw_syscall(SYS_close, g_pipe.fd);
    return false;
  }
  g_pipe.lost = false;
  g_pipe.size = 0;
  g_pipe.writer.store(sys_gettid(), std::memory_order_relaxed);
  return true;
}

void output_to_stderr() {
  flush_pipe();
  g_pipe.writer.store(0, std::memory_order_relaxed);
  raw_syscall(SYS_close, g_pipe.fd);
}

bool output_lost() {
  int writer = g_pipe.writer.load(std::memory_order_relaxed);
  return writer != 0 && writer == sys_gettid() && g_pipe.lost;
}

uint64_t output_lines() {
  return g_lines.load(std::memory_order_relaxed);
}

void output(const Text& line) {
  if (!may_use(kOutput)) return;
  g_lines.fetch_add(1, std::memory_order_relaxed);
  int writer = g_pipe.writer.load(std::memory_order_relaxed);
  if (writer != 0 && writer == sys_gettid()) return put_in_pipe(line);
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
