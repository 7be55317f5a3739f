// SPDX-License-Identifier: Apache-2.0
// Two threads compute for a while, without a call. Says in which order they began and ended.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static atomic_int at;
static char order[5];

static void note(char what) {
  order[at++] = what;
}

// By the process's CPU time, for on a busy machine it may be stopped for any time.
static void* compute(void* arg) {
  const char* marks = arg;
  struct timespec begin, now;
  note(marks[0]);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
  do {
    for (volatile int i = 0; i < 10000; i++) {
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  } while (now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9 < 0.3);
  note(marks[1]);
  return NULL;
}

int main(void) {
  pthread_t threads[2];
  pthread_create(&threads[0], NULL, compute, "Aa");
  pthread_create(&threads[1], NULL, compute, "Bb");
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  puts(order);
  return 0;
}
