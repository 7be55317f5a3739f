// SPDX-License-Identifier: Apache-2.0
// A thread replaces the process by another program while others block and work.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void* Sleep(void* unused) {
  (void)unused;
  for (;;) usleep(100);
  return NULL;
}

static void* Exec(void* unused) {
  (void)unused;
  usleep(1000);
  execl("/bin/sh", "sh", "-c", "echo replaced; exit 9", (char*)NULL);
  _exit(1);
}

int main(void) {
  fputs("no-threads\n", stderr);  // None in the program that is left at the end.
  puts("before");
  fflush(stdout);
  pthread_t thread;
  for (int i = 0; i < 4; ++i) {
    if (pthread_create(&thread, NULL, Sleep, NULL) != 0) return 1;
  }
  if (pthread_create(&thread, NULL, Exec, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  return 2;
}
