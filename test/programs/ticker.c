// SPDX-License-Identifier: Apache-2.0
// A thread that sleeps a millisecond at a time ticks on, whatever the others do: read silent pipes by stdio, wait for
// a file lock, spin on a flag, compute.
// usage: ticker [SECONDS]; with SECONDS it also prints how often it ticked and the longest gap between two ticks
// (bench/ticker.py).
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { kEach = 8 };

static int pipes[kEach][2];
static char lock_name[] = "/tmp/ticker.XXXXXX";
static int released;
static volatile int flag;  // for those who spin: as in programs that know no atomics
static double seconds = 0.3;

static int64_t NowNs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

static void* Read(void* pipe) {
  FILE* file = fdopen(((int*)pipe)[0], "r");
  char line[16];
  if (file == NULL || fgets(line, sizeof line, file) == NULL) return "fgets";
  fclose(file);
  return NULL;
}

static void* Lock(void* unused) {
  (void)unused;
  const int file = open(lock_name, O_RDWR);
  if (flock(file, LOCK_EX) != 0) return "flock";
  close(file);
  return NULL;
}

static void* Spin(void* unused) {
  (void)unused;
  while (flag == 0) {
  }
  return NULL;
}

static void* Compute(void* unused) {
  (void)unused;
  volatile uint32_t value = 1;
  while (__atomic_load_n(&released, __ATOMIC_RELAXED) == 0) {
    for (int i = 0; i < 100000; ++i) value = value * 1664525u + 1013904223u;
  }
  return NULL;
}

static int ticks;
static int64_t worst;

static void* Tick(void* unused) {
  (void)unused;
  const struct timespec millisecond = {0, 1000000};
  const int64_t end = NowNs() + (int64_t)(seconds * 1e9);
  for (int64_t last = NowNs(), now; last < end; last = now) {
    nanosleep(&millisecond, NULL);
    now = NowNs();
    if (now - last > worst) worst = now - last;
    ++ticks;
  }
  return NULL;
}

static void* (*const kBodies[])(void*) = {Read, Lock, Spin, Compute};
enum { kSorts = sizeof kBodies / sizeof *kBodies };

int main(int argc, char** argv) {
  if (argc > 1) seconds = atof(argv[1]);
  const int lock = mkstemp(lock_name);
  if (lock == -1 || flock(lock, LOCK_EX) != 0) return 1;
  pthread_t threads[kSorts][kEach], ticker;
  for (int i = 0; i < kEach; ++i) {
    if (pipe(pipes[i]) != 0) return 1;
    for (int sort = 0; sort < kSorts; ++sort) {
      if (pthread_create(&threads[sort][i], NULL, kBodies[sort], pipes[i]) != 0) return 1;
    }
  }
  if (pthread_create(&ticker, NULL, Tick, NULL) != 0) return 1;
  pthread_join(ticker, NULL);
  __atomic_store_n(&released, 1, __ATOMIC_RELAXED);
  flag = 1;
  flock(lock, LOCK_UN);
  for (int i = 0; i < kEach; ++i) {
    if (write(pipes[i][1], "\n", 1) != 1) return 1;
  }
  for (int sort = 0; sort < kSorts; ++sort) {
    for (int i = 0; i < kEach; ++i) {
      void* failed;
      pthread_join(threads[sort][i], &failed);
      if (failed != NULL) return printf("%s failed\n", (const char*)failed);
    }
  }
  unlink(lock_name);
  puts("all finished");
  if (argc > 1) printf("%d ticks, worst gap %.1f ms\n", ticks, (double)worst / 1e6);
  return ticks == 0;
}
