// SPDX-License-Identifier: Apache-2.0
// A library that tells a program another time, as libfaketime does.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec* time) {
  if (syscall(SYS_clock_gettime, clock, time) != 0) return -1;
  if (clock == CLOCK_REALTIME) time->tv_sec -= 800000000;
  if (clock == CLOCK_MONOTONIC) time->tv_sec += 800000000;
  return 0;
}
