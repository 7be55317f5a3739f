// SPDX-License-Identifier: Apache-2.0
// The other thread of the contexts: it waits in read() while the case runs, then says what it sees.
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>

#include "../../quiet.h"
#include "contexts.h"

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

void AwaitWaiting(const volatile int* about_to_wait) {
  while (!*about_to_wait) usleep(500);
  AwaitQuiet();
}
