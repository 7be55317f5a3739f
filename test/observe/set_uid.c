// SPDX-License-Identifier: Apache-2.0
// Says as whom it runs, in a thread.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void* say(void* arg) {
  printf("as %u\n", (unsigned)geteuid());
  return arg;
}

int main(void) {
  pthread_t thread;
  return pthread_create(&thread, NULL, say, NULL) != 0 || pthread_join(thread, NULL) != 0;
}
