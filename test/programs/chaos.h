// SPDX-License-Identifier: Apache-2.0
// What the programs of chaos share: how they fail, and the time.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

[[noreturn]] inline void Fail(const char* what, int64_t a = 0, int64_t b = 0) {
  fprintf(stderr, "%s (%lld, %lld): %s\n", what, static_cast<long long>(a), static_cast<long long>(b), strerror(errno));
  _exit(1);
}

inline int Check(int result, const char* what) {
  if (result == -1) Fail(what);
  return result;
}

inline int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}
