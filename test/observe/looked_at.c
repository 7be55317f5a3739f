// SPDX-License-Identifier: Apache-2.0
// looked_at HOW N: N threads called m0, m1, ... wait for one mutex, and as many called s0, ... for one semaphore
// ("wait"), or all hand a turn round by yielding ("run"). Says "ready", waits for a line, lets all end, and says what
// they have counted; the exit status is 7.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORTED __attribute__((noinline, visibility("default")))

pthread_mutex_t the_mutex = PTHREAD_MUTEX_INITIALIZER;
sem_t the_semaphore;
static atomic_int begun, over;
static int counted;

EXPORTED void* wait_for_mutex(void* arg) {
  begun++;
  pthread_mutex_lock(&the_mutex);
  counted++;
  pthread_mutex_unlock(&the_mutex);
  return arg;
}
EXPORTED void* wait_for_semaphore(void* arg) {
  begun++;
  while (sem_wait(&the_semaphore) != 0) {
  }
  return wait_for_mutex(arg);
}
EXPORTED void* yield_turns(void* arg) {
  begun++;
  while (!over) sched_yield();
  return wait_for_mutex(arg);
}

static pthread_t start(void* (*body)(void*), char letter, int number) {
  pthread_t thread;
  char name[16];
  if (pthread_create(&thread, NULL, body, NULL) != 0) _exit(1);
  snprintf(name, sizeof name, "%c%d", letter, number);
  pthread_setname_np(thread, name);
  return thread;
}

int main(int argc, char** argv) {
  if (argc != 3) return 3;
  int wait = strcmp(argv[1], "wait") == 0, n = atoi(argv[2]);
  pthread_t* threads = calloc(2 * (size_t)n, sizeof *threads);
  char line[2];
  sem_init(&the_semaphore, 0, 0);
  pthread_mutex_lock(&the_mutex);
  for (int i = 0; i < n; i++) {
    threads[2 * i] = start(wait ? wait_for_mutex : yield_turns, 'm', i);
    threads[2 * i + 1] = start(wait ? wait_for_semaphore : yield_turns, 's', i);
  }
  while (begun < 2 * n) usleep(1000);
  puts("ready");
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) return 3;
  over = 1;
  pthread_mutex_unlock(&the_mutex);
  for (int i = 0; i < n; i++) sem_post(&the_semaphore);
  for (int i = 0; i < 2 * n; i++) pthread_join(threads[i], NULL);
  printf("%d\n", counted);
  return 7;
}
