// SPDX-License-Identifier: Apache-2.0
// What makes descriptors or changes their flags: only noted (io/fd.h).
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "runtime/io/fd.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM int socket(int domain, int type, int protocol) {
  if (!on()) return real.socket(domain, type, protocol);
  int fd = real.socket(domain, type, protocol);
  if (fd >= 0) fd_created(fd, (type & SOCK_NONBLOCK) != 0);
  return fd;
}

MN_SHIM int socketpair(int domain, int type, int protocol, int fds[2]) {
  if (!on()) return real.socketpair(domain, type, protocol, fds);
  int result = real.socketpair(domain, type, protocol, fds);
  for (int i = 0; result == 0 && i < 2; ++i) fd_created(fds[i], (type & SOCK_NONBLOCK) != 0);
  return result;
}

MN_SHIM int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* arg = va_arg(list, void*);
  va_end(list);
  bool act = on();  // decides, too: the table of real functions is filled
  int result = real.ioctl(fd, request, arg);
  if (act && request == FIONBIO) fd_flags_changed();
  return result;
}
