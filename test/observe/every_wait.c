// SPDX-License-Identifier: Apache-2.0
// One thread for each thing that a thread can wait for, and some that do not wait; then main sleeps until it is killed,
// or until a line comes on standard input.
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((noinline, visibility("default")))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, read_locked = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t semaphore;
static pthread_t holder;
static int silent[2];
static atomic_int begun, held, once_runs;

EXPORTED void* wait_for_release(void* arg) {
  pthread_setname_np(pthread_self(), "holder");
  pthread_mutex_lock(&mutex);
  pthread_rwlock_wrlock(&written);
  pthread_rwlock_rdlock(&read_locked);
  held = 1;
  begun++;
  for (;;) sem_wait(&semaphore);
  return arg;
}
EXPORTED void* wait_for_mutex(void* arg) {
  pthread_setname_np(pthread_self(), "mutex");
  begun++;
  pthread_mutex_lock(&mutex);
  return arg;
}
EXPORTED void* wait_for_cond(void* arg) {
  pthread_setname_np(pthread_self(), "cond");
  pthread_mutex_lock(&cond_mutex);
  begun++;
  for (;;) pthread_cond_wait(&cond, &cond_mutex);
  return arg;
}
EXPORTED void* wait_to_read(void* arg) {
  pthread_setname_np(pthread_self(), "reader");
  begun++;
  begun++;
  pthread_rwlock_rdlock(&written);
  return arg;
}
EXPORTED void* wait_to_write(void* arg) {
  pthread_setname_np(pthread_self(), "writer");
  begun++;
  pthread_rwlock_wrlock(&read_locked);
  return arg;
}
EXPORTED void* wait_at_barrier(void* arg) {
  pthread_setname_np(pthread_self(), "barrier");
  begun++;
  pthread_barrier_wait(&barrier);
  return arg;
}
EXPORTED void never_done(void) {
  once_runs = 1;
  begun++;
  for (;;) sem_wait(&semaphore);
}
EXPORTED void* run_once(void* arg) {
  pthread_setname_np(pthread_self(), "once");
  pthread_once(&once, never_done);
  return arg;
}
EXPORTED void* run_once_more(void* arg) {
  pthread_setname_np(pthread_self(), "twice");
  while (!once_runs) usleep(1000);
  pthread_once(&once, never_done);
  return arg;
}
EXPORTED void* wait_to_join(void* arg) {
  pthread_setname_np(pthread_self(), "joiner");
  begun++;
  pthread_join(holder, NULL);
  return arg;
}
EXPORTED void* sleep_long(void* arg) {
  pthread_setname_np(pthread_self(), "sleeper");
  begun++;
  sleep(1000);
  return arg;
}
EXPORTED void* read_silence(void* arg) {
  char c;
  pthread_setname_np(pthread_self(), "kernel");
  begun++;
  return syscall(SYS_read, silent[0], &c, 1) == 1 ? arg : NULL;
}
EXPORTED void* wait_for_data(void* arg) {
  char c;
  pthread_setname_np(pthread_self(), "receiver");
  begun++;
  return read(silent[0], &c, 1) == 1 ? arg : NULL;
}
EXPORTED void* end_at_once(void* arg) {
  pthread_setname_np(pthread_self(), "ended");
  begun++;
  return arg;
}

static pthread_t start(void* (*function)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, NULL) != 0) _exit(1);
  return thread;
}

int main(void) {
  void* (*functions[])(void*) = {wait_for_mutex,  wait_for_cond, wait_to_read,  wait_to_write,
                                 wait_at_barrier, run_once,      run_once_more, wait_to_join,
                                 sleep_long,      read_silence,  wait_for_data, end_at_once};
  pthread_barrier_init(&barrier, NULL, 2);
  sem_init(&semaphore, 0, 0);
  if (pipe(silent) != 0) return 1;
  holder = start(wait_for_release);
  while (!held) usleep(1000);
  int n = sizeof functions / sizeof functions[0];
  for (int i = 0; i < n; i++) start(functions[i]);
  while (begun < n) usleep(1000);  // the holder, and all but the one that comes too late
  usleep(100 * 1000);              // what they do now needs no other thread
  puts("ready");
  fflush(stdout);
  char line[2];
  while (fgets(line, sizeof line, stdin) == NULL) pause();
  _exit(0);
}
