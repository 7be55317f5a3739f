// SPDX-License-Identifier: Apache-2.0
// A routine of pthread_once, compiled without tables to unwind by (Makefile), is cancelled, calls pthread_exit, or is
// jumped out of: the next call runs its own, whoever waits meanwhile.
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

static pthread_once_t once;
static int ran;
static sem_t began;
static __thread jmp_buf out;

static void wait_for_ever(void) {
  sem_post(&began);
  for (;;) pause();
}
static void end(void) {
  sem_post(&began);
  pthread_exit(NULL);
}
static void jump(void) {
  sem_post(&began);
  longjmp(out, 1);
}
static void run(void) {
  ++ran;
}

static void* call(void* routine) {
  if (setjmp(out) == 0) pthread_once(&once, (void (*)(void))routine);
  return NULL;
}

static void check(const char* name, void (*routine)(void)) {
  pthread_t first, second;
  void* result = NULL;
  once = (pthread_once_t)PTHREAD_ONCE_INIT;
  ran = 0;
  pthread_create(&first, NULL, call, (void*)routine);
  while (sem_wait(&began) != 0) {
  }
  pthread_create(&second, NULL, call, (void*)run);
  if (routine == wait_for_ever) {
    usleep(1000);
    pthread_cancel(first);
  }
  pthread_join(first, &result);
  pthread_join(second, NULL);
  pthread_once(&once, run);
  printf("%s: %s, ran %d\n", name, result == PTHREAD_CANCELED ? "cancelled" : "not cancelled", ran);
}

int main(void) {
  sem_init(&began, 0, 0);
  for (int i = 0; i < 20; ++i) {
    check("cancelled", wait_for_ever);
    check("exits", end);
    check("jumps", jump);
  }
  return 0;
}
