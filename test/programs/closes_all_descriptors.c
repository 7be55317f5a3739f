// SPDX-License-Identifier: Apache-2.0
// A child closes all descriptors that it does not know, as servers' children do, and takes their numbers for a file of
// its own: nobody else writes there.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kFile = 100, kFirst = 850, kLast = 1000 };

static void* Thread(void* argument) {
  return argument;
}

int main(void) {
  const int file = memfd_create("file", 0);
  if (file == -1 || dup2(file, kFile) == -1) return 1;
  close(file);
  const pid_t child = fork();
  if (child == 0) {
    dup2(kFile, 3);
    closefrom(4);
    for (int fd = kFirst; fd < kLast; ++fd) {
      if (dup2(3, fd) == -1) return 2;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, Thread, NULL) != 0 || pthread_join(thread, NULL) != 0) return 3;
    exit(0);
  }
  int status = -1;
  struct stat info;
  if (waitpid(child, &status, 0) != child || fstat(kFile, &info) != 0) return 4;
  printf("child: %d, bytes in its file: %d\n", WEXITSTATUS(status), (int)info.st_size);
  pthread_t thread;
  if (pthread_create(&thread, NULL, Thread, NULL) != 0 || pthread_join(thread, NULL) != 0) return 5;
  return 0;
}
