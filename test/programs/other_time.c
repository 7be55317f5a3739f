// SPDX-License-Identifier: Apache-2.0
// A library that is preloaded after all others tells the program another time: threads that sleep, or wait for a time
// on its clock, come back.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct timespec Soon(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += 20000000;
  if (time.tv_nsec >= 1000000000) {
    time.tv_nsec -= 1000000000;
    ++time.tv_sec;
  }
  return time;
}

static void* Wait(void* argument) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t sem;
  sem_init(&sem, 0, 0);
  usleep(20000);
  poll(NULL, 0, 20);
  struct timespec soon = Soon();
  printf("sem_timedwait %d\n", sem_timedwait(&sem, &soon) == -1 && errno == ETIMEDOUT);
  pthread_mutex_lock(&mutex);
  int error;
  soon = Soon();
  do error = pthread_cond_timedwait(&cond, &mutex, &soon);
  while (error == 0);
  printf("pthread_cond_timedwait %d\n", error == ETIMEDOUT);
  pthread_mutex_unlock(&mutex);
  return argument;
}

static void Again(char* name) {
  char library[4096], all[8192];
  ssize_t length = readlink("/proc/self/exe", library, sizeof library - 64);
  if (length < 0) exit(1);
  library[length] = '\0';
  strcpy(strrchr(library, '/'), "/plugins/clock.so");
  const char* present = getenv("LD_PRELOAD");
  snprintf(all, sizeof all, "%s:%s", present != NULL ? present : "", library);
  setenv("LD_PRELOAD", all, 1);
  execv("/proc/self/exe", (char*[]){name, "again", NULL});
  exit(1);
}

int main(int argc, char** argv) {
  if (argc == 1) Again(argv[0]);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  printf("another time %d\n", now.tv_sec < 1700000000);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) {
    pthread_create(&threads[i], NULL, Wait, NULL);
    pthread_join(threads[i], NULL);
  }
  return 0;
}
