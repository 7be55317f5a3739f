// SPDX-License-Identifier: Apache-2.0
// main returns right after it created threads, before they may have run at all.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void* Sleep(void* unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

int main(void) {
  for (int i = 0; i < 50; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, Sleep, NULL) != 0) return 1;
  }
  puts("gone");
  return 8;
}
