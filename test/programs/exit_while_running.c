// SPDX-License-Identifier: Apache-2.0
// main returns while threads compute, sleep, and wait on every kind of object and in the kernel.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../quiet.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t never;
static int pipes[2];
static volatile unsigned long counter;

static void* Compute(void* unused) {
  (void)unused;
  for (;;)
    if (++counter % 1000000 == 0) sched_yield();
  return NULL;
}
static void* Yield(void* unused) {
  (void)unused;
  for (;;) usleep(10);
  return NULL;
}
static void* Lock(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  _exit(90);
}
static void* Wait(void* unused) {
  (void)unused;
  static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&own);
  for (;;) pthread_cond_wait(&cond, &own);
  return NULL;
}
static void* Read(void* unused) {
  (void)unused;
  char byte;
  if (read(pipes[0], &byte, 1) >= 0) _exit(91);
  return NULL;
}
static void* ReadLock(void* unused) {
  (void)unused;
  pthread_rwlock_rdlock(&rwlock);
  _exit(92);
}
static void* Barrier(void* unused) {
  (void)unused;
  pthread_barrier_wait(&barrier);
  _exit(93);
}
static void* Semaphore(void* unused) {
  (void)unused;
  while (sem_wait(&never) != 0) {
  }
  _exit(94);
}
static void* Sleep(void* unused) {
  (void)unused;
  for (;;) sleep(1000);
  return NULL;
}

int main(void) {
  static void* (*const kBodies[])(void*) = {Compute,  Yield,   Lock,      Wait,  Read,
                                            ReadLock, Barrier, Semaphore, Sleep, Compute};
  sem_init(&never, 0, 0);
  pthread_barrier_init(&barrier, NULL, 3);
  pthread_mutex_lock(&mutex);
  pthread_rwlock_wrlock(&rwlock);
  if (pipe(pipes) != 0) return 1;
  for (unsigned i = 0; i < sizeof kBodies / sizeof kBodies[0]; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, kBodies[i], NULL) != 0) return 1;
  }
  AwaitQuiet();
  printf("main returns");
  return 7;
}
