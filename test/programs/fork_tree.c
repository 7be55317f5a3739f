// SPDX-License-Identifier: Apache-2.0
// Three generations of processes, forked by threads; each child makes threads of its own.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kBranches = 3, kDepth = 3 };

static int Grow(int depth);

static void* Branch(void* argument) {
  const int depth = (int)(long)argument;
  const pid_t child = fork();
  if (child == -1) exit(100);
  if (child == 0) exit(Grow(depth - 1));
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) exit(101);
  return (void*)(long)WEXITSTATUS(status);
}

// Gives the number of processes in the tree below and including this one.
static int Grow(int depth) {
  if (depth == 0) return 1;
  pthread_t threads[kBranches];
  for (int i = 0; i < kBranches; ++i) {
    if (pthread_create(&threads[i], NULL, Branch, (void*)(long)depth) != 0) exit(102);
  }
  int sum = 1;
  for (int i = 0; i < kBranches; ++i) {
    void* below = NULL;
    if (pthread_join(threads[i], &below) != 0) exit(103);
    sum += (int)(long)below;
  }
  return sum;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  const int processes = Grow(kDepth);
  printf("%d processes\n", processes);
  return processes;
}
