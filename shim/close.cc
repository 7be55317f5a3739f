// SPDX-License-Identifier: Apache-2.0
// What ends descriptors or gives their numbers to other files.
#include "runtime/io/close.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/shim.h"

using namespace mn;

MN_SHIM int close(int fd) {
  if (!on()) return real.close(fd);
  if (!fd_closing(fd)) return errno_result(EBADF);
  int result = real.close(fd);
  fd_closed(fd);
  return result;
}

MN_SHIM int shutdown(int fd, int how) {
  if (!on()) return real.shutdown(fd, how);
  int result = real.shutdown(fd, how);
  if (result == 0) fd_shut(fd);
  return result;
}

MN_SHIM int fclose(FILE* file) {
  // A file of memory (open_memstream) has no number.
  int fd = on() ? ::fileno_unlocked(file) : -1;
  if (fd < 0) return real.fclose(file);
  fd_closing(fd);
  int result = real.fclose(file);
  fd_closed(fd);
  return result;
}

MN_SHIM int dup2(int from, int to) {
  if (!on() || from == to) return real.dup2(from, to);
  fd_replacing(to);
  int result = real.dup2(from, to);
  fd_closed(to);
  return result;
}
MN_SHIM int dup3(int from, int to, int flags) {
  if (!on() || from == to) return real.dup3(from, to, flags);
  fd_replacing(to);
  int result = real.dup3(from, to, flags);
  fd_closed(to);
  return result;
}

MN_SHIM int close_range(unsigned first, unsigned last, int flags) {
  return on() ? io_close_range(first, last, flags) : real.close_range(first, last, flags);
}
MN_SHIM void closefrom(int first) {
  if (!on()) return real.closefrom(first);
  io_close_range(first < 0 ? 0 : static_cast<unsigned>(first), ~0u, 0);
}

MN_ALIAS(__close, close);
MN_ALIAS(__dup2, dup2);
