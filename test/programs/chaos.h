// SPDX-License-Identifier: Apache-2.0
// What whole programs share: how they fail, the time, how they wait, and how they tell their parts.
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

template <class Condition>
void Await(Condition holds, const char* what) {
  constexpr int64_t kPatience = 20'000'000'000;
  for (const int64_t end = NowNs() + kPatience; !holds(); usleep(300))
    if (NowNs() > end) Fail(what);
}

struct Part {
  const char* name;
  void (*run)();
};

template <size_t kParts>
void RunParts(const Part (&parts)[kParts]) {
  for (const Part& part : parts) {
    part.run();
    puts(part.name);
    fflush(stdout);
  }
}
