// SPDX-License-Identifier: Apache-2.0
// Threads write whole lines to the same stream in turns, with flockfile and without.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

enum { kThreads = 5, kLines = 20 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void* Write(void* argument) {
  const int me = (int)(intptr_t)argument;
  for (int i = 0; i < kLines; ++i) {
    pthread_mutex_lock(&mutex);
    while (turn % kThreads != me) pthread_cond_wait(&cond, &mutex);
    flockfile(stdout);
    printf("thread %d", me);
    printf(" line %d", i);
    putchar_unlocked('\n');
    funlockfile(stdout);
    if (i % 7 == 0) fflush(stdout);
    ++turn;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

int main(void) {
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, Write, (void*)i) != 0) return 1;
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  printf("%d lines\n", turn);
  return 0;
}
