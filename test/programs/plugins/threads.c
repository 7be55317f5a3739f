// SPDX-License-Identifier: Apache-2.0
// A library whose constructor makes threads, and waits for what they do with its thread-local variables; some it joins,
// the others run until its destructor joins them.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { kShort = 4, kLong = 3 };

static __thread int number = 7;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_t short_ones[kShort], long_ones[kLong];
static int begun, over;
static int* joined;

static void* BeShort(void* argument) {
  pthread_mutex_lock(&mutex);
  begun += number == 7;
  number = 8;
  pthread_cond_broadcast(&cond);
  while (begun < kShort) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  usleep(100);
  return number == 8 ? argument : NULL;
}

static void* BeLong(void* argument) {
  pthread_mutex_lock(&mutex);
  begun += number == 7;
  number = 9;
  pthread_cond_broadcast(&cond);
  while (!over) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  return number == 9 ? argument : NULL;
}

static void Start(pthread_t* threads, int count, void* (*body)(void*)) {
  for (int i = 0; i < count; ++i)
    if (pthread_create(&threads[i], NULL, body, (void*)(long)(i + 1)) != 0) abort();
}

static void Join(const pthread_t* threads, int count) {
  for (int i = 0; i < count; ++i) {
    void* result = NULL;
    if (pthread_join(threads[i], &result) != 0 || result != (void*)(long)(i + 1)) abort();
    if (joined != NULL) ++*joined;
  }
}

__attribute__((constructor)) static void Construct(void) {
  Start(short_ones, kShort, BeShort);
  Join(short_ones, kShort);
  Start(long_ones, kLong, BeLong);
  pthread_mutex_lock(&mutex);
  while (begun < kShort + kLong) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
}

__attribute__((destructor)) static void Destroy(void) {
  pthread_mutex_lock(&mutex);
  over = 1;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  Join(long_ones, kLong);
}

// How many threads have begun; those that the destructor joins are counted there.
int ThreadsWatch(int* joined_at_end) {
  joined = joined_at_end;
  pthread_mutex_lock(&mutex);
  const int result = begun;
  pthread_mutex_unlock(&mutex);
  return result;
}
