// SPDX-License-Identifier: Apache-2.0
// What ends descriptors or gives their numbers to other files.
#include "runtime/io/close.h"

#include <stdio.h>
#include <unistd.h>

#include "shim/shim.h"

using namespace mn;

MN_SHIM int close(int fd) {
  if (on() && !fd_closing(fd)) return errno_result(EBADF);
  return real.close(fd);
}

MN_SHIM int fclose(FILE* file) {
  // A file of memory (open_memstream) has no number.
  if (int fd = on() && file != nullptr ? ::fileno_unlocked(file) : -1; fd >= 0) fd_closing(fd);
  return real.fclose(file);
}

MN_SHIM int dup2(int from, int to) {
  if (on() && from != to) fd_replacing(to);
  return real.dup2(from, to);
}
MN_SHIM int dup3(int from, int to, int flags) {
  if (on() && from != to) fd_replacing(to);
  return real.dup3(from, to, flags);
}

// Piece by piece around the descriptors that are ours.
MN_SHIM int close_range(unsigned first, unsigned last, int flags) {
  if (!on() || flags != 0 || first > last) return real.close_range(first, last, flags);
  fds_closing(first, last);
  for (int ours; first <= last && (ours = fd_ours_in(first, last)) >= 0; first = static_cast<unsigned>(ours) + 1) {
    auto below = static_cast<unsigned>(ours);
    if (first < below && real.close_range(first, below - 1, flags) != 0) return -1;
  }
  return first <= last ? real.close_range(first, last, flags) : 0;
}
MN_SHIM void closefrom(int first) {
  if (!on()) return real.closefrom(first);
  unsigned from = first < 0 ? 0 : static_cast<unsigned>(first);
  fds_closing(from, ~0u);
  for (int ours; (ours = fd_ours_in(from, ~0u)) >= 0; from = static_cast<unsigned>(ours) + 1)
    if (from < static_cast<unsigned>(ours)) real.close_range(from, static_cast<unsigned>(ours) - 1, 0);
  real.closefrom(static_cast<int>(from));
}

MN_ALIAS(__close, close);
MN_ALIAS(__dup2, dup2);
