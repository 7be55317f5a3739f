// SPDX-License-Identifier: Apache-2.0
// A thread calls exit() while main waits for it and others block: handlers run, output is flushed.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sem_t never;
static sem_t blocked;
static pthread_t exiting;

static void First(void) {
  printf("first registered, in the exiting thread: %d\n", pthread_equal(exiting, pthread_self()) != 0);
}
static void Second(void) {
  puts("second registered");
}

static void* Block(void* unused) {
  (void)unused;
  sem_post(&blocked);
  sem_wait(&never);
  _exit(99);
}

static void* Exit(void* unused) {
  (void)unused;
  for (int i = 0; i < 5; ++i) sem_wait(&blocked);
  printf("not yet flushed, ");
  exiting = pthread_self();
  exit(37);
}

int main(void) {
  sem_init(&never, 0, 0);
  sem_init(&blocked, 0, 0);
  atexit(First);
  atexit(Second);
  pthread_t thread;
  for (int i = 0; i < 5; ++i) {
    if (pthread_create(&thread, NULL, Block, NULL) != 0) return 1;
  }
  if (pthread_create(&thread, NULL, Exit, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  _exit(98);
}
