// SPDX-License-Identifier: Apache-2.0
// The address space that a process's first thread takes: its stack, one arena of malloc's (64 MiB, which libc reserves
// for a thread that allocates), and little more. A program of its own, for in one that has had threads it is taken.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { kStack = 8 << 10, kArena = 64 << 10, kMore = 2 << 10 };  // KiB

static long size_now(void) {
  char line[256];
  long kib = -1;
  FILE* status = fopen("/proc/self/status", "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL)
    if (sscanf(line, "VmSize: %ld", &kib) == 1) break;
  if (status != NULL) fclose(status);
  return kib;
}

static void* nothing(void* arg) {
  return arg;
}

int main(void) {
  pthread_attr_t attr;
  pthread_t thread;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, (size_t)kStack << 10);
  const long before = size_now();
  if (before < 0 || pthread_create(&thread, &attr, nothing, NULL) != 0) return 1;
  const long with_it = size_now();
  pthread_join(thread, NULL);
  const long grown = with_it - before;
  if (grown < kStack || grown > kStack + kArena + kMore) {
    printf("one thread takes %ld KiB of address space\n", grown);
    return 1;
  }
  return 0;
}
