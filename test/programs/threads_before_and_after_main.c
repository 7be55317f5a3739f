// SPDX-License-Identifier: Apache-2.0
// Threads made in a constructor before main, in an atexit handler and in a destructor after it.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int stage;
static pthread_t early;

static void* Early(void* unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  while (stage != 1) pthread_cond_wait(&cond, &mutex);
  stage = 2;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  return (void*)11;
}

static void* Echo(void* argument) {
  return argument;
}

static void RunOne(const char* where) {
  pthread_t thread;
  void* result = NULL;
  if (pthread_create(&thread, NULL, Echo, (void*)where) != 0) abort();
  if (pthread_join(thread, &result) != 0 || result != (const void*)where) abort();
  puts(where);
}

__attribute__((constructor)) static void Before(void) {
  RunOne("constructor");
  if (pthread_create(&early, NULL, Early, NULL) != 0) abort();
}
__attribute__((destructor)) static void After(void) {
  RunOne("destructor");
}
static void AtExit(void) {
  RunOne("atexit");
}

int main(void) {
  atexit(AtExit);
  pthread_mutex_lock(&mutex);
  stage = 1;
  pthread_cond_broadcast(&cond);
  while (stage != 2) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  void* result = NULL;
  if (pthread_join(early, &result) != 0 || result != (void*)11) return 1;
  RunOne("main");
  return 6;
}
