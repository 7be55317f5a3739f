// SPDX-License-Identifier: Apache-2.0
// No key is there before the program makes one, and all of them are the program's; destructors run, of threads that
// libc runs by itself too.
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_key_t keys[PTHREAD_KEYS_MAX + 1];
static atomic_int destroyed;

static void destroy(void* value) {
  usleep((useconds_t)(long)value);  // calls back after other destructors have run
  ++destroyed;
}

static void* use_all(void* unused) {
  for (int i = 0; i < PTHREAD_KEYS_MAX; ++i) pthread_setspecific(keys[i], (void*)1L);
  return unused;
}

static void tick(union sigval unused) {
  (void)unused;
  use_all(NULL);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("set %d, delete %d\n", pthread_setspecific(0, (void*)1L), pthread_key_delete(0));
  printf("set %d, delete %d\n", pthread_setspecific(PTHREAD_KEYS_MAX - 1, (void*)1L),
         pthread_key_delete(PTHREAD_KEYS_MAX - 1));
  int made = 0;
  while (made <= PTHREAD_KEYS_MAX && pthread_key_create(&keys[made], destroy) == 0) ++made;
  printf("%d keys, the first is %u\n", made, keys[0]);
  pthread_t thread;
  for (int i = 0; i < 20; ++i) {
    pthread_create(&thread, NULL, use_all, NULL);
    pthread_join(thread, NULL);
  }
  printf("%d destroyed\n", destroyed);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD};
  event.sigev_notify_function = tick;
  timer_t timer;
  struct itimerspec soon = {.it_value = {0, 1}};
  for (int i = 1; i <= 20; ++i) {
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &soon, NULL);
    while (destroyed < (20 + i) * PTHREAD_KEYS_MAX) usleep(100);
    timer_delete(timer);
  }
  printf("%d destroyed\n", destroyed);
  return 0;
}
