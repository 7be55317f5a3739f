// SPDX-License-Identifier: Apache-2.0
// Main ends while it holds robust mutexes that others wait for, with and without priority inheritance: its kernel
// thread ends for good, those learn of it, and the process goes on: it takes signals, forks and makes threads.
// usage: pthread_exit_main_with_lock
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../quiet.h"

static pthread_mutex_t mutexes[2];
static volatile sig_atomic_t handled;

static void Handle(int number) {
  handled = number;
}

static void* WaitFor(void* argument) {
  pthread_mutex_t* mutex = argument;
  const int error = pthread_mutex_lock(mutex);
  if (error != EOWNERDEAD) printf("the waiter got %d\n", error);
  if (pthread_mutex_consistent(mutex) != 0) puts("pthread_mutex_consistent");
  if (pthread_mutex_unlock(mutex) != 0) puts("pthread_mutex_unlock");
  return NULL;
}

static void* GoOn(void* unused) {
  (void)unused;
  pthread_t waiters[2];
  for (int i = 0; i < 2; ++i)
    if (pthread_create(&waiters[i], NULL, WaitFor, &mutexes[i]) != 0) puts("pthread_create");
  for (int i = 0; i < 2; ++i) pthread_join(waiters[i], NULL);
  puts("both learnt of it");
  signal(SIGUSR1, Handle);
  kill(getpid(), SIGUSR1);
  printf("handled: %d\n", handled == SIGUSR1);
  if (setuid(getuid()) != 0) puts("setuid");
  const pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(&mutexes[1]);
    pthread_mutex_unlock(&mutexes[1]);
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  printf("the child: %d\n", WEXITSTATUS(status));
  return NULL;
}

int main(void) {
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  for (int i = 0; i < 2; ++i) {
    pthread_mutexattr_setprotocol(&attr, i == 0 ? PTHREAD_PRIO_NONE : PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&mutexes[i], &attr);
    pthread_mutex_lock(&mutexes[i]);
  }
  pthread_t thread;
  if (pthread_create(&thread, NULL, GoOn, NULL) != 0) puts("pthread_create");
  AwaitQuiet();
  pthread_exit(NULL);
}
