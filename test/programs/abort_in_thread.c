// SPDX-License-Identifier: Apache-2.0
// A thread calls abort(): SIGABRT's handler runs in that thread, then the signal kills the process.
// test: signal=yes
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_t aborting;

static void Handler(int signal) {
  (void)signal;
  const char* text = pthread_equal(aborting, pthread_self()) ? "in its thread\n" : "elsewhere\n";
  if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(1);
}

static void* Abort(void* unused) {
  (void)unused;
  aborting = pthread_self();
  abort();
}

int main(void) {
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(SIGABRT, Handler);
  pthread_t thread;
  if (pthread_create(&thread, NULL, Abort, NULL) != 0) return 1;
  pthread_join(thread, NULL);
  return 2;
}
