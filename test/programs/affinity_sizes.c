// SPDX-License-Identifier: Apache-2.0
// Affinity masks of every size, right and wrong, by every function, of main before and after it makes threads, of
// threads, of threads with CPUs of their own, and of others. Then what comes of them.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const size_t kSizes[] = {0, 1, 4, 7, 8, 9, 12, 16, 32, 64, 128, 256, 1024, 4096};
enum { kSizesCount = sizeof kSizes / sizeof kSizes[0], kLargest = 4096 };

static uint64_t buffer[kLargest / 8];

static cpu_set_t* dirty(void) {
  memset(buffer, 0x5a, sizeof buffer);
  return (cpu_set_t*)buffer;
}

static void tell(const char* function, size_t size, int error) {
  int set = 0;
  size_t clean = 0;
  for (size_t i = 0; i < size && error == 0; ++i) {
    for (int bit = 0; bit < 8; ++bit) set += ((unsigned char*)buffer)[i] >> bit & 1;
  }
  for (size_t i = size; i < sizeof buffer; ++i) clean += ((unsigned char*)buffer)[i] == 0x5a;
  printf("  %s of %zu bytes: %s, %d CPUs, the rest %s\n", function, size, strerrorname_np(error), set,
         clean == sizeof buffer - size ? "untouched" : "written to");
}

static void ask(const char* who, pthread_t other) {
  printf("%s\n", who);
  for (int i = 0; i < kSizesCount; ++i) {
    const size_t size = kSizes[i];
    tell("sched_getaffinity(0)", size, sched_getaffinity(0, size, dirty()) == 0 ? 0 : errno);
    tell("sched_getaffinity(getpid())", size, sched_getaffinity(getpid(), size, dirty()) == 0 ? 0 : errno);
    tell("pthread_getaffinity_np", size, pthread_getaffinity_np(pthread_self(), size, dirty()));
    tell("pthread_getaffinity_np of another", size, pthread_getaffinity_np(other, size, dirty()));
  }
  printf("  bad address: %s\n", strerrorname_np(pthread_getaffinity_np(pthread_self(), 8, (cpu_set_t*)16)));
  printf("  bad address to set: %s\n", strerrorname_np(pthread_setaffinity_np(pthread_self(), 8, (cpu_set_t*)16)));
}

static int first_cpu(void) {
  sched_getaffinity(0, sizeof buffer, (cpu_set_t*)buffer);
  for (int cpu = 0;; ++cpu)
    if ((buffer[cpu / 64] >> cpu % 64 & 1) != 0) return cpu;
}

// One CPU, told in masks of every size.
static void set(const char* who) {
  const int cpu = first_cpu();
  uint64_t all[kLargest / 8];
  memcpy(all, buffer, sizeof all);
  printf("%s sets\n", who);
  for (int i = 0; i < kSizesCount; ++i) {
    const size_t size = kSizes[i];
    memset(buffer, 0, sizeof buffer);
    buffer[cpu / 64] = (uint64_t)1 << cpu % 64;
    const int error = i % 2 == 0 ? pthread_setaffinity_np(pthread_self(), size, (cpu_set_t*)buffer)
                      : sched_setaffinity(0, size, (cpu_set_t*)buffer) == 0 ? 0
                                                                            : errno;
    cpu_set_t now;
    sched_getaffinity(0, sizeof now, &now);
    printf("  %zu bytes: %s, %d CPUs\n", size, strerrorname_np(error), CPU_COUNT(&now));
    printf("  and back: %s\n", strerrorname_np(pthread_setaffinity_np(pthread_self(), sizeof all, (cpu_set_t*)all)));
  }
}

static void* asks(void* other) {
  ask("a thread", (pthread_t)other);
  return NULL;
}
static void* sets(void* other) {
  set("a thread");
  const int cpu = first_cpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
  ask("a thread with one CPU", (pthread_t)other);
  pthread_t child;
  pthread_create(&child, NULL, asks, (void*)pthread_self());
  pthread_join(child, NULL);
  return NULL;
}

int main(void) {
  pthread_t thread;
  ask("main, alone", pthread_self());
  set("main, alone");
  pthread_create(&thread, NULL, asks, (void*)pthread_self());
  pthread_join(thread, NULL);
  pthread_create(&thread, NULL, sets, (void*)pthread_self());
  pthread_join(thread, NULL);
  ask("main", pthread_self());
  set("main");
  ask("main, wired", pthread_self());
  return 0;
}
