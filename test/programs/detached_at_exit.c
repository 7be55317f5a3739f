// SPDX-License-Identifier: Apache-2.0
// Detached threads, some ended and some not, when main returns; none of them delays the end.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static sem_t ended;

static void* Short(void* unused) {
  (void)unused;
  sem_post(&ended);
  return NULL;
}

static void* Long(void* unused) {
  (void)unused;
  for (;;) sleep(1000);
  return NULL;
}

int main(void) {
  sem_init(&ended, 0, 0);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  for (int i = 0; i < 40; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, i % 2 ? &attr : NULL, i % 4 < 2 ? Short : Long, NULL) != 0) {
      return 1;
    }
    if (i % 2 == 0) pthread_detach(thread);
  }
  for (int i = 0; i < 20; ++i) {
    while (sem_wait(&ended) != 0) {
    }
  }
  puts("twenty ended");
  return 0;
}
