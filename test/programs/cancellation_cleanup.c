// SPDX-License-Identifier: Apache-2.0
// Clean-up handlers in C, which are registered with libc, not unwound: they run once, last in, first out, at
// cancellation, at pthread_exit, and when popped with 1; a popped one does not run, nor one of a frame that is left;
// and those run first that are inside. The cancellation type is saved and restored by the _np forms.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static __thread char log_[64];
static char logs[8][64];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static sem_t never, ready;

static void Log(void* what) {
  strcat(log_, what);
}
static void Copy(void* to) {  // of the thread's key: after its handlers
  strcat(log_, "key");
  strcpy(to, log_);
}
static void Unlock(void* m) {
  strcat(log_, pthread_mutex_trylock(m) == EBUSY && pthread_mutex_unlock(m) == 0 ? "unlock " : "free! ");
}

__attribute__((noinline)) static void Inner(int how) {
  pthread_cleanup_push(Log, "inner ");
  if (how == 1) pthread_exit(PTHREAD_CANCELED);
  if (how == 2) pthread_cancel(pthread_self());
  if (how == 2) pthread_testcancel();
  if (how == 3) {
    sem_post(&ready);
    for (;;) sem_wait(&never);
  }
  if (how == 4) {
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(Unlock, &mutex);
    sem_post(&ready);
    for (;;) pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
  }
  if (how == 5) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    for (;;) continue;
  }
  if (how == 6) {
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cleanup_push_defer_np(Log, "deferred ");
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    strcat(log_, type == PTHREAD_CANCEL_DEFERRED ? "is-deferred " : "not! ");
    pthread_cleanup_pop_restore_np(1);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    strcat(log_, type == PTHREAD_CANCEL_ASYNCHRONOUS ? "restored " : "not! ");
    sem_post(&ready);
    for (;;) usleep(100000);
  }
  pthread_cleanup_pop(how == 7);
}

static void* Work(void* how) {
  pthread_setspecific(key, logs[(long)how]);
  pthread_cleanup_push(Log, "outer ");
  pthread_cleanup_push(Log, "popped! ");
  pthread_cleanup_pop(0);
  pthread_cleanup_push(Log, "run ");
  pthread_cleanup_pop(1);
  Inner((int)(long)how);
  pthread_cleanup_pop(0);
  return PTHREAD_CANCELED;
}

int main(void) {
  static const char* const expected[8] = {
      "run key",
      "run inner outer key",
      "run inner outer key",
      "run inner outer key",
      "run unlock inner outer key",
      "run inner outer key",
      "run is-deferred deferred restored inner outer key",
      "run inner key",
  };
  pthread_key_create(&key, Copy);
  sem_init(&never, 0, 0);
  sem_init(&ready, 0, 0);
  for (int round = 0; round < 50; ++round)
    for (long how = 0; how < 8; ++how) {
      pthread_t thread;
      void* result = NULL;
      struct timespec end;
      if (pthread_create(&thread, NULL, Work, (void*)how) != 0) return 1;
      if (how >= 3 && how <= 6) {
        while (sem_wait(&ready) != 0) continue;
        if (round % 2 == 0) usleep(100);
        pthread_cancel(thread);
      }
      clock_gettime(CLOCK_REALTIME, &end);
      end.tv_sec += 20;
      if (pthread_timedjoin_np(thread, &result, &end) != 0 || result != PTHREAD_CANCELED ||
          strcmp(logs[how], expected[how]) != 0) {
        fprintf(stderr, "%ld: %s, not %s (%p)\n", how, logs[how], expected[how], result);
        return 1;
      }
      memset(logs, 0, sizeof logs);
    }
  puts("clean-up handlers run once and in order");
  return 0;
}
