// SPDX-License-Identifier: Apache-2.0
// crowd HOW N: N threads called w0, w1, ... wait HOW: for a condition, in recv, asleep, or not at all: they have ended.
// Says "ready", and then main sleeps until the process is killed.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTED __attribute__((noinline, visibility("default")))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static atomic_int begun;

EXPORTED void* wait_for_cond(void* arg) {
  pthread_mutex_lock(&mutex);
  begun++;
  for (;;) pthread_cond_wait(&cond, &mutex);
  return arg;
}
EXPORTED void* wait_for_data(void* arg) {
  int ends[2];
  char byte;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) _exit(2);
  begun++;
  for (;;) recv(ends[0], &byte, 1, 0);
  return arg;
}
EXPORTED void* wait_for_time(void* arg) {
  begun++;
  for (;;) sleep(1000);
  return arg;
}
EXPORTED void* end_at_once(void* arg) {
  begun++;
  return arg;
}

static const struct {
  const char* how;
  void* (*body)(void* arg);
} kinds[] = {{"cond", wait_for_cond}, {"recv", wait_for_data}, {"sleep", wait_for_time}, {"ended", end_at_once}};

int main(int argc, char** argv) {
  void* (*body)(void*) = NULL;
  for (size_t i = 0; argc == 3 && i < sizeof kinds / sizeof kinds[0]; i++)
    if (strcmp(argv[1], kinds[i].how) == 0) body = kinds[i].body;
  if (body == NULL) return 3;
  int count = atoi(argv[2]);
  for (int i = 0; i < count; i++) {
    char name[16];
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) != 0) return 4;
    snprintf(name, sizeof name, "w%d", i);
    pthread_setname_np(thread, name);
    if (body == end_at_once) pthread_join(thread, NULL);
  }
  while (begun < count) usleep(1000);
  puts("ready");
  fflush(stdout);
  for (;;) sleep(1000);
}
