// SPDX-License-Identifier: Apache-2.0
// main leaves by pthread_exit while others go on: the process lives until the last of them ends,
// then exits with status 0, its atexit handlers run.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_t main_thread;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void AtExit(void) {
  puts("atexit");
}

static void CleanUp(void* unused) {
  (void)unused;
  puts("main cleans up");
}

static void* Work(void* argument) {
  const int me = (int)(long)argument;
  if (me == 0) {
    void* result = NULL;
    if (pthread_join(main_thread, &result) != 0 || result != (void*)42) _exit(2);
    puts("main joined");
  }
  pthread_mutex_lock(&mutex);
  while (turn != me) pthread_cond_wait(&cond, &mutex);
  usleep(2000);
  printf("thread %d\n", me);
  ++turn;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  return (void*)17;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  atexit(AtExit);
  main_thread = pthread_self();
  for (long i = 0; i < 8; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, Work, (void*)i) != 0) return 1;
    pthread_detach(thread);
  }
  pthread_cleanup_push(CleanUp, NULL);
  pthread_exit((void*)42);
  pthread_cleanup_pop(0);
}
