// SPDX-License-Identifier: Apache-2.0
// Ten threads print a loop variable that they share, ten more a copy of their own; all are joined
// only then. With one scheduling context the order is fixed (order.expected): the newest thread
// first, then first in, first out. Natively any order may come out.
// test: native=no procs=1
#include <pthread.h>
#include <stdio.h>

enum { kThreads = 10 };

static int shared;

static void* PrintShared(void* unused) {
  (void)unused;
  printf("1: %d\n", __atomic_load_n(&shared, __ATOMIC_RELAXED));
  return NULL;
}

static void* PrintOwn(void* own) {
  printf("2: %d\n", *(int*)own);
  return NULL;
}

int main(void) {
  pthread_t threads[2 * kThreads];
  int own[kThreads];
  for (shared = 0; shared < kThreads; ++shared) {
    if (pthread_create(&threads[shared], NULL, PrintShared, NULL) != 0) return 1;
  }
  for (int i = 0; i < kThreads; ++i) {
    own[i] = i;
    if (pthread_create(&threads[kThreads + i], NULL, PrintOwn, &own[i]) != 0) return 1;
  }
  for (int i = 0; i < 2 * kThreads; ++i) {
    if (pthread_join(threads[i], NULL) != 0) return 1;
  }
  return 0;
}
