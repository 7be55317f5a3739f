// SPDX-License-Identifier: Apache-2.0
// main, its threads all joined, leaves by pthread_exit: the process exits with status 0.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void AtExit(void) {
  puts("atexit");
}

static void* Work(void* argument) {
  return argument;
}

int main(void) {
  atexit(AtExit);
  pthread_t thread;
  void* result = NULL;
  if (pthread_create(&thread, NULL, Work, (void*)5) != 0) return 1;
  if (pthread_join(thread, &result) != 0 || result != (void*)5) return 2;
  puts("joined");
  pthread_exit((void*)3);
}
