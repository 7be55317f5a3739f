// SPDX-License-Identifier: Apache-2.0
// Has a second thread, and then another working directory ("to FOLDER") or root ("root FOLDER"). Waits for a line.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) void* wait_in_thread(void* arg) {
  for (;;) pause();
  return arg;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  pthread_t thread;
  if (pthread_create(&thread, NULL, wait_in_thread, NULL) != 0) return 3;
  pthread_setname_np(thread, "waiting");
  const int is_root = strcmp(argv[1], "root") == 0;
  if (is_root && chroot(argv[2]) != 0) return 4;
  if (chdir(is_root ? "/" : argv[2]) != 0) return 4;
  printf("ready\n");
  fflush(stdout);
  return getchar() == EOF ? 5 : 0;
}
