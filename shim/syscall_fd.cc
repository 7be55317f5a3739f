// SPDX-License-Identifier: Apache-2.0
// System calls by number that end descriptors or change their flags: io/ has to know, as of libc's functions. Data and
// waits by number stay with the kernel, on the thread's M.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/io/close.h"
#include "runtime/io/fd.h"
#include "runtime/os/syscall.h"
#include "shim/shim.h"
#include "shim/syscall.h"

namespace mn {
namespace {

long close_call(long, long fd, long, long, long, long, long) {
  if (!fd_closing(static_cast<int>(fd))) return syscall_result(-EBADF);
  long result = raw_syscall(SYS_close, fd);  // no cancellation point, unlike close()
  fd_closed(static_cast<int>(fd));
  return syscall_result(result);
}

long replace_call(long nr, long from, long to, long flags, long, long, long) {
  if (from == to) return real.syscall(nr, from, to, flags);
  fd_replacing(static_cast<int>(to));
  long result = real.syscall(nr, from, to, flags);
  fd_closed(static_cast<int>(to));
  return result;
}

long close_range_call(long, long first, long last, long flags, long, long, long) {
  return io_close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), static_cast<int>(flags));
}

long flags_call(long nr, long fd, long request, long arg, long, long, long) {
  long result = real.syscall(nr, fd, request, arg);
  fd_flags_changed();
  return result;
}

}  // namespace

SystemCall* descriptor_call(long nr, long b) {
  switch (nr) {
    case SYS_close:
      return close_call;
    case SYS_close_range:
      return close_range_call;
    case SYS_dup2:
    case SYS_dup3:
      return replace_call;
    case SYS_fcntl:
      return b == F_SETFL ? flags_call : nullptr;
    case SYS_ioctl:
      return b == FIONBIO ? flags_call : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace mn
