// SPDX-License-Identifier: Apache-2.0
// A thread that runs over the end of its stack hits the guard: SIGSEGV, not another's memory.
// test: signal=yes
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int Recurse(int depth) {
  volatile char frame[512];
  memset((char*)frame, depth, sizeof frame);
  if (depth < 0) return 0;
  return Recurse(depth + 1) + frame[depth % 512];
}

static void* Overflow(void* unused) {
  (void)unused;
  return (void*)(long)Recurse(0);
}

static void* Sleep(void* unused) {
  (void)unused;
  char pattern[1024];
  memset(pattern, 0x5a, sizeof pattern);
  for (;;) {
    usleep(100);
    for (unsigned i = 0; i < sizeof pattern; ++i) {
      if (pattern[i] != 0x5a) _exit(3);
    }
  }
}

int main(void) {
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 * 1024);
  puts("before");
  fflush(stdout);
  pthread_t thread;
  for (int i = 0; i < 10; ++i) {
    if (pthread_create(&thread, &attr, i == 5 ? Overflow : Sleep, NULL) != 0) return 1;
  }
  sleep(20);
  return 2;
}
