// SPDX-License-Identifier: Apache-2.0
// A thread writes through a bad pointer: SIGSEGV kills the process, whatever the others do.
// test: signal=yes
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void* Sleep(void* unused) {
  (void)unused;
  for (;;) usleep(100);
  return NULL;
}

static void* Fault(void* unused) {
  (void)unused;
  usleep(2000);
  int* volatile nowhere = (int*)16;
  *nowhere = 1;
  return NULL;
}

int main(void) {
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  puts("before");
  fflush(stdout);
  pthread_t thread;
  for (int i = 0; i < 4; ++i) {
    if (pthread_create(&thread, NULL, Sleep, NULL) != 0) return 1;
  }
  if (pthread_create(&thread, NULL, Fault, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  return 2;
}
