// SPDX-License-Identifier: Apache-2.0
// _exit() in a thread ends the process at once: no handlers, no flush, no other thread.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void AtExit(void) {
  puts("never printed");
}

static void* Exit(void* unused) {
  (void)unused;
  if (write(STDOUT_FILENO, "written\n", 8) != 8) abort();
  _exit(21);
}

int main(void) {
  atexit(AtExit);
  setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
  printf("stays in the buffer\n");
  pthread_t thread;
  if (pthread_create(&thread, NULL, Exit, NULL) != 0) return 1;
  for (;;) pause();
}
