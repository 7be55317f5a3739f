// SPDX-License-Identifier: Apache-2.0
// For the few things that glibc does otherwise since some version, and does not tell.
#pragma once

#include <gnu/libc-version.h>

namespace mn {

// Of the glibc that runs: 36 for 2.36.
inline int libc_minor() {
  const char* digit = gnu_get_libc_version() + 2;  // "2."
  int number = 0;
  for (; *digit >= '0' && *digit <= '9'; ++digit) number = number * 10 + (*digit - '0');
  return number;
}

}  // namespace mn
