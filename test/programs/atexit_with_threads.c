// SPDX-License-Identifier: Apache-2.0
// exit() while threads still run: its handlers may talk to them, wait for them and join them.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int asked;
static int answered;
static pthread_t helper;

static void* Help(void* argument) {
  pthread_mutex_lock(&mutex);
  while (!asked) pthread_cond_wait(&cond, &mutex);
  puts("helper: asked to end");
  answered = 1;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  return argument;
}

static void Stop(void) {
  pthread_mutex_lock(&mutex);
  asked = 1;
  pthread_cond_broadcast(&cond);
  while (!answered) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  void* result = NULL;
  if (pthread_join(helper, &result) != 0 || result != &cond) abort();
  puts("exit: helper joined");
}

int main(void) {
  atexit(Stop);
  if (pthread_create(&helper, NULL, Help, &cond) != 0) return 1;
  puts("main: returns");
  return 11;
}
