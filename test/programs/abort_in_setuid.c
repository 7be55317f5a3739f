// SPDX-License-Identifier: Apache-2.0
// As root: a thread has changed its ids by a system call, so that setresuid fails for some threads and not for others,
// and libc aborts. The program's handler of SIGABRT runs.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ready[2];

static void say(int signal) {
  static atomic_flag said = ATOMIC_FLAG_INIT;
  (void)signal;
  while (atomic_flag_test_and_set(&said)) pause();  // more than one thread may abort
  const char* text = "the handler ran\n";
  if (write(1, text, strlen(text)) > 0) _exit(0);
}

static void* be_another(void* unused) {
  if (syscall(SYS_setresuid, 2001, 2002, 2003) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
  for (;;) sleep(1);
  return unused;
}

int main(void) {
  if (geteuid() != 0) {
    puts("not root");
    return 0;
  }
  pthread_t thread;
  char byte;
  signal(SIGABRT, say);
  if (pipe(ready) != 0) return 1;
  pthread_create(&thread, NULL, be_another, NULL);
  if (read(ready[0], &byte, 1) != 1) return 1;
  printf("setresuid: %d\n", setresuid(1001, 1002, 1003));
  return 0;
}
