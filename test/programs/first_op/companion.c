// SPDX-License-Identifier: Apache-2.0
// The other thread of the contexts: it waits in read() while the case runs, then says what it sees.
//
// When has a thread begun to wait? A program cannot see that, but it can see that nobody runs: natively every other
// kernel thread sleeps, and where threads are not kernel threads those that run them do. A thread that said that it is
// about to wait, and that is given its turn, then waits.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "contexts.h"

enum { kLooks = 2 };

static int requests[2];
static sem_t answered;
static pthread_t companion;
static volatile sig_atomic_t signals, urgent;

static void CountSignal(int signal) {
  signals += signal == SIGUSR2;
  urgent += signal == SIGURG;
}

static void* Accompany(void* unused) {
  pthread_setspecific(state_key, (void*)2);
  char request;
  while (read(requests[0], &request, 1) == 1 && request == 's') {
    ShowState("companion");
    sem_post(&answered);
  }
  return unused;
}

void StartCompanion(void) {
  CHECK(pthread_key_create(&state_key, NULL) == 0);
  CHECK(pthread_setspecific(state_key, (void*)1) == 0);
  CHECK(pipe2(requests, O_CLOEXEC) == 0 && sem_init(&answered, 0, 0) == 0);
  struct sigaction action = {.sa_handler = CountSignal, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGUSR2, &action, NULL) == 0 && sigaction(SIGURG, &action, NULL) == 0);
  CHECK(pthread_create(&companion, NULL, Accompany, NULL) == 0);
}

void AskCompanion(void) {
  CHECK(pthread_kill(companion, SIGUSR2) == 0);
  CHECK(write(requests[1], "s", 1) == 1);
  while (sem_wait(&answered) == -1) CHECK(errno == EINTR);
  CHECK(raise(SIGURG) == 0);
  Say("companion: %d signals, main %d", (int)signals, (int)urgent);
}

void EndCompanion(void) {
  CHECK(write(requests[1], "q", 1) == 1);
  CHECK(pthread_join(companion, NULL) == 0);
}

// The state letter of a kernel thread of this process, 0 if it has none any more.
static char StateOf(const char* id) {
  char path[64];
  char text[256];
  snprintf(path, sizeof path, "/proc/self/task/%s/stat", id);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd == -1) return 0;
  const ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return 0;
  text[size] = '\0';
  const char* name_end = strrchr(text, ')');
  return name_end == NULL ? 0 : name_end[2];
}

static int AllOthersSleep(void) {
  DIR* tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  int running = 0;
  for (const struct dirent* task; (task = readdir(tasks)) != NULL;) {
    if (task->d_name[0] == '.') continue;
    const char state = StateOf(task->d_name);
    running += state == 'R' || state == 'D';
  }
  closedir(tasks);
  return running == 1;  // who looks
}

void AwaitWaiting(const volatile int* about_to_wait) {
  for (int looks = 0; looks < kLooks;) {
    usleep(500);
    sched_yield();
    looks = *about_to_wait && AllOthersSleep() ? looks + 1 : 0;
  }
}
