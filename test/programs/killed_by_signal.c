// SPDX-License-Identifier: Apache-2.0
// A signal with its default action, sent to one thread, ends the whole process.
// test: signal=yes
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "../quiet.h"

static void* Sleep(void* unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

int main(void) {
  puts("before");
  fflush(stdout);
  pthread_t thread;
  if (pthread_create(&thread, NULL, Sleep, NULL) != 0) return 1;
  AwaitQuiet();
  if (pthread_kill(thread, SIGTERM) != 0) return 2;
  sleep(20);
  return 3;
}
