// SPDX-License-Identifier: Apache-2.0
// What makes descriptors or changes their flags: only noted (io/fd.h).
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "runtime/io/fd.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM int socket(int domain, int type, int protocol) {
  if (!on_here()) return real.socket(domain, type, protocol);
  int fd = real.socket(domain, type, protocol);
  if (fd >= 0) fd_created(fd, (type & SOCK_NONBLOCK) != 0);
  return fd;
}

MN_SHIM int socketpair(int domain, int type, int protocol, int fds[2]) {
  if (!on_here()) return real.socketpair(domain, type, protocol, fds);
  int result = real.socketpair(domain, type, protocol, fds);
  for (int i = 0; result == 0 && i < 2; ++i) fd_created(fds[i], (type & SOCK_NONBLOCK) != 0);
  return result;
}

static int made(int fd) {
  if (fd >= 0) fd_made(fd);
  return fd;
}

MN_SHIM int pipe2(int fds[2], int flags) {
  if (!on_here()) return real.pipe2(fds, flags);
  int result = real.pipe2(fds, flags);
  for (int i = 0; result == 0 && i < 2; ++i) fd_made(fds[i]);
  return result;
}
MN_SHIM int pipe(int fds[2]) {
  return on_here() ? pipe2(fds, 0) : real.pipe(fds);
}
MN_SHIM int dup(int fd) {
  return on_here() ? made(real.dup(fd)) : real.dup(fd);
}
MN_SHIM int eventfd(unsigned count, int flags) {
  return on_here() ? made(real.eventfd(count, flags)) : real.eventfd(count, flags);
}
MN_SHIM int timerfd_create(clockid_t clock, int flags) {
  return on_here() ? made(real.timerfd_create(clock, flags)) : real.timerfd_create(clock, flags);
}
MN_SHIM int epoll_create1(int flags) {
  return on_here() ? made(real.epoll_create1(flags)) : real.epoll_create1(flags);
}
MN_SHIM int epoll_create(int size) {
  return on_here() ? made(real.epoll_create(size)) : real.epoll_create(size);
}

MN_SHIM int ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* arg = va_arg(list, void*);
  va_end(list);
  bool act = on_here();  // decides, too: the table of real functions is filled
  int result = real.ioctl(fd, request, arg);
  if (act && request == FIONBIO) fd_flags_changed();
  return result;
}
