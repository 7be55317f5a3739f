// SPDX-License-Identifier: Apache-2.0
// A program without any thread of its own goes through the whole API that needs none.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  fputs("no-threads\n", stderr);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&mutex);
  sem_t sem;
  sem_init(&sem, 0, 1);
  sem_wait(&sem);
  usleep(100);
  puts("nothing but main");
  return 4;
}
