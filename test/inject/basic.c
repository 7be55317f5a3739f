// SPDX-License-Identifier: Apache-2.0
// What programs do with threads, a line for each kind. The same lines each time.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                             \
  do {                                               \
    if (!(condition)) {                              \
      printf("line %d: %s\n", __LINE__, #condition); \
      fflush(stdout);                                \
      _exit(1);                                      \
    }                                                \
  } while (0)

enum { kThreads = 8, kRounds = 50 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void say(const char* what, int value) {
  printf("%s %d\n", what, value);
  fflush(stdout);
}

static void* return_it(void* arg) {
  return arg;
}

static void make_and_join(void) {
  long sum = 0;
  pthread_t threads[kThreads];
  for (long i = 0; i < kThreads; ++i) CHECK(pthread_create(&threads[i], NULL, return_it, (void*)i) == 0);
  for (long i = 0; i < kThreads; ++i) {
    void* result;
    CHECK(pthread_join(threads[i], &result) == 0);
    sum += (long)result;
  }
  say("joined", (int)sum);
}

static void* take_turns(void* arg) {
  const int mine = (int)(long)arg;
  for (int i = 0; i < kRounds; ++i) {
    pthread_mutex_lock(&mutex);
    while (turn % 2 != mine) pthread_cond_wait(&cond, &mutex);
    ++turn;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void wait_in_turn(void) {
  pthread_t other;
  turn = 0;
  CHECK(pthread_create(&other, NULL, take_turns, (void*)1) == 0);
  take_turns(NULL);
  CHECK(pthread_join(other, NULL) == 0);
  say("turns", turn);
}

static void* sleep_and_time_out(void* arg) {
  sem_t never;
  struct timespec until, little = {0, 2000000};
  sem_init(&never, 0, 0);
  nanosleep(&little, NULL);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 2000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    ++until.tv_sec;
  }
  CHECK(sem_timedwait(&never, &until) == -1 && errno == ETIMEDOUT);
  return arg;
}

static int ends[2];

static void* echo(void* arg) {
  char text[16];
  ssize_t got;
  while ((got = read(ends[1], text, sizeof text)) > 0) CHECK(write(ends[1], text, (size_t)got) == got);
  return arg;
}

static void talk(void) {
  pthread_t thread;
  char text[16];
  int bytes = 0;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(pthread_create(&thread, NULL, echo, NULL) == 0);
  for (int i = 0; i < kRounds; ++i) {
    struct pollfd ready = {ends[0], POLLIN, 0};
    CHECK(write(ends[0], "hello", 5) == 5);
    CHECK(poll(&ready, 1, -1) == 1);
    bytes += (int)recv(ends[0], text, sizeof text, MSG_WAITALL & 0);
  }
  close(ends[0]);
  CHECK(pthread_join(thread, NULL) == 0);
  close(ends[1]);
  say("bytes", bytes);
}

static atomic_int handled, begun, over;

static void on_signal(int sig) {
  handled += sig == SIGUSR1;
}

static void* compute(void* arg) {
  ++begun;
  while (!over) {
  }
  return arg;
}

static void* wait_for_signal(void* arg) {
  sigset_t set;
  int sig = 0;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(sigwait(&set, &sig) == 0 && sig == SIGUSR2);
  return arg;
}

static void signals(void) {
  pthread_t computing, waiting;
  sigset_t set;
  CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(pthread_create(&computing, NULL, compute, NULL) == 0);
  CHECK(pthread_create(&waiting, NULL, wait_for_signal, NULL) == 0);
  while (begun == 0) usleep(1000);
  CHECK(pthread_kill(computing, SIGUSR1) == 0);
  while (handled != 1) usleep(1000);
  CHECK(kill(getpid(), SIGUSR1) == 0);
  while (handled != 2) usleep(1000);
  CHECK(kill(getpid(), SIGUSR2) == 0);
  CHECK(pthread_join(waiting, NULL) == 0);
  over = 1;
  CHECK(pthread_join(computing, NULL) == 0);
  say("handled", handled);
}

static void* wait_for_ever(void* arg) {
  for (;;) pause();
  return arg;
}

static void cancel(void) {
  pthread_t thread;
  void* result;
  CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
  CHECK(pthread_cancel(thread) == 0);
  CHECK(pthread_join(thread, &result) == 0);
  say("cancelled", result == PTHREAD_CANCELED);
}

static void fork_and_make(void) {
  fflush(stdout);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    pthread_t thread;
    void* result;
    CHECK(pthread_create(&thread, NULL, return_it, (void*)7) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    _exit((int)(long)result);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  say("child", WEXITSTATUS(status));
}

static void* fork_in_thread(void* arg) {
  fork_and_make();
  return arg;
}

int main(void) {
  pthread_t thread;
  alarm(15);
  make_and_join();
  wait_in_turn();
  CHECK(pthread_create(&thread, NULL, sleep_and_time_out, NULL) == 0 && pthread_join(thread, NULL) == 0);
  say("timed out", 1);
  talk();
  signals();
  cancel();
  fork_and_make();
  CHECK(pthread_create(&thread, NULL, fork_in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);
  make_and_join();
  pthread_exit(NULL);
}
