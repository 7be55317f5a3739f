// SPDX-License-Identifier: Apache-2.0
// quick_exit() in a thread runs the at_quick_exit handlers and not the atexit ones.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void Quick(void) {
  puts("at_quick_exit");
  fflush(stdout);
}
static void AtExit(void) {
  puts("never printed");
}

static void* Exit(void* unused) {
  (void)unused;
  quick_exit(22);
}

int main(void) {
  at_quick_exit(Quick);
  atexit(AtExit);
  pthread_t thread;
  if (pthread_create(&thread, NULL, Exit, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  return 2;
}
