// SPDX-License-Identifier: Apache-2.0
// Threads whose turns are known, for MN_TRACE: traced CASE [NUMBER].
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int arrived;
static int turns;

static void* lock_it(void* arg) {
  pthread_setname_np(pthread_self(), "wants \"it\"");
  arrived = 1;
  pthread_mutex_lock(&lock);
  pthread_mutex_unlock(&lock);
  return arg;
}

// Main holds what the other wants, until that waits.
static int blocked(void) {
  pthread_t thread;
  pthread_mutex_lock(&lock);
  pthread_create(&thread, NULL, lock_it, NULL);
  while (!arrived) sched_yield();
  for (int i = 0; i < 1000; i++) sched_yield();
  pthread_mutex_unlock(&lock);
  return pthread_join(thread, NULL);
}

static void* take_turns(void* arg) {
  for (int i = 0; i < turns; i++) sched_yield();
  return arg;
}

static int crowd(int threads) {
  pthread_t* ids = malloc((size_t)threads * sizeof *ids);
  for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, take_turns, NULL);
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  free(ids);
  return 0;
}

static int forks(void) {
  pid_t child = fork();
  if (child == 0) exit(crowd(3));
  int status = 1;
  return waitpid(child, &status, 0) != child || status != 0;
}

static void* for_ever(void* arg) {
  for (;;) sched_yield();
  return arg;
}

static int endless(void) {
  pthread_t thread;
  for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, for_ever, NULL);
  puts("ready");
  fflush(stdout);
  pause();
  return 0;
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  int number = argc > 2 ? atoi(argv[2]) : 0;
  turns = argc > 3 ? atoi(argv[3]) : 0;
  int error = 2;
  if (strcmp(what, "blocked") == 0) error = blocked();
  if (strcmp(what, "crowd") == 0) error = crowd(number);
  if (strcmp(what, "forks") == 0) error = crowd(3) | forks();
  if (strcmp(what, "endless") == 0) error = endless();
  if (strcmp(what, "_exit") == 0) _exit(crowd(3));
  puts(error == 0 ? "done" : "failed");
  return error;
}
