// SPDX-License-Identifier: Apache-2.0
// Processes.
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

static void Fork(Function function) {
  const pid_t child = AS(fork)();
  CHECK(child != -1);
  if (child == 0) _exit(5);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
static void ForkAndUseThreads(Function function) {
  const pid_t child = AS(fork)();
  CHECK(child != -1);
  if (child == 0) {
    pthread_t thread;
    void* result = NULL;
    if (pthread_create(&thread, NULL, Echo, (void*)8) != 0) _exit(1);
    if (pthread_join(thread, &result) != 0) _exit(2);
    _exit((int)(long)result);
  }
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 8);
}
static void Vfork(Function function) {
  const pid_t child = AS(vfork)();
  if (child == 0) _exit(5);
  CHECK(child != -1);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
static void ExitNow(Function function) {
  AS(_exit)(0);
}
static void ExitProcess(Function function) {
  AS(exit)(0);
}
static const struct Case kCases[] = {
    DECLARED(fork, Fork),
    {"fork:threads", ForkAndUseThreads, (Function)fork},
    BY_NAME(__fork, ForkAndUseThreads),
    BY_NAME(__libc_fork, ForkAndUseThreads),
    DECLARED(_Fork, Fork),
    DECLARED(vfork, Vfork),
    BY_NAME(__vfork, Vfork),
    DECLARED(_exit, ExitNow),
    DECLARED(_Exit, ExitNow),
    DECLARED(exit, ExitProcess),
    DECLARED(quick_exit, ExitProcess),
};

const struct Family kProcessFamily = FAMILY(kCases);
