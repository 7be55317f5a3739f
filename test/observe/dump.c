// SPDX-License-Identifier: Apache-2.0
// dump CASE: says "ready", and then waits for a line on standard input, unless the case says otherwise.
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((noinline, visibility("default")))

static sem_t sem;
static atomic_int begun, over;
static int silent[2];

static pthread_t start(void* (*function)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, NULL) != 0) _exit(1);
  return thread;
}

static void say(const char* word) {
  puts(word);
  fflush(stdout);
}

// On a kernel thread, whatever the threads do.
static void await_line(void) {
  char line[2];
  say("ready");
  if (fgets(line, sizeof line, stdin) == NULL) exit(3);
}

EXPORTED void* wait_asleep(void* arg) {
  begun++;
  while (sem_wait(&sem) != 0) {
  }
  return arg;
}
EXPORTED void* compute(void* arg) {
  begun++;
  while (!over) {
  }
  return arg;
}

// A thread computes.
static void computing(void) {
  pthread_t thread = start(compute);
  while (begun == 0) usleep(1000);
  await_line();
  over = 1;
  pthread_join(thread, NULL);
}

static void no_threads(void) {
  await_line();
}

// A thread that raises SIGQUIT, which it must not survive.
static void* raise_quit(void* arg) {
  raise(SIGQUIT);
  say("survived");
  return arg;
}
static void raising(void) {
  start(wait_asleep);
  pthread_join(start(raise_quit), NULL);
}

// The signal comes before the end of the process.
static void signalled_before_exit(void) {
  pthread_t thread = start(wait_asleep);
  kill(getpid(), SIGQUIT);
  sem_post(&sem);
  pthread_join(thread, NULL);
  exit(0);
}

static void own_handler_runs(int sig) {
  (void)sig;
  sem_post(&sem);
}
static void own_handler(void) {
  start(compute);
  signal(SIGQUIT, own_handler_runs);
  say("ready");
  wait_asleep(NULL);
  say("handled");
}

// System calls that are never restarted, until they are let go.
static void* wait_in_the_kernel(void* arg) {
  struct pollfd fd = {silent[0], POLLIN, 0};
  begun++;
  for (int n; (n = (int)syscall(SYS_poll, &fd, 1, -1)) != 1;) say(errno == EINTR ? "interrupted" : "broken");
  return arg;
}
static void in_the_kernel(void) {
  if (pipe(silent) != 0) exit(1);
  pthread_t thread = start(wait_in_the_kernel);
  while (begun == 0) usleep(1000);
  await_line();
  if (write(silent[1], "x", 1) != 1) exit(1);
  pthread_join(thread, NULL);
}

// A thread that libc makes behind libmn's back, and that takes part.
EXPORTED void* wait_as_a_stranger(void* arg) {
  pthread_setname_np(pthread_self(), "stranger");
  return wait_asleep(NULL) == NULL ? arg : NULL;
}
static void stranger(void) {
  void* libc = dlopen("libc.so.6", RTLD_LAZY);
  int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  *(void**)&create = dlsym(libc, "pthread_create");
  pthread_t thread;
  start(wait_asleep);
  if (create(&thread, NULL, wait_as_a_stranger, NULL) != 0) exit(1);
  while (begun != 2) usleep(1000);
  await_line();
}

// A stack deeper than what is copied of it.
EXPORTED int recurse(int depth) {
  volatile char frame[1024];
  frame[0] = (char)depth;
  return depth == 0 ? wait_asleep(NULL) != NULL : recurse(depth - 1) + frame[0];
}
EXPORTED void* wait_deep(void* arg) {
  return recurse(55) == 0 ? arg : NULL;
}
static void deep(void) {
  start(wait_deep);
  while (begun == 0) usleep(1000);
  await_line();
}

static const struct {
  const char* name;
  void (*run)(void);
} cases[] = {
    {"computing", computing},
    {"no_threads", no_threads},
    {"raising", raising},
    {"stranger", stranger},
    {"own_handler", own_handler},
    {"in_the_kernel", in_the_kernel},
    {"deep", deep},
    {"signalled_before_exit", signalled_before_exit},
};

int main(int argc, char** argv) {
  sem_init(&sem, 0, 0);
  for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(argv[1], cases[i].name) != 0) continue;
    cases[i].run();
    return 0;
  }
  return 1;
}
