// SPDX-License-Identifier: Apache-2.0
// A library with thread-local variables, and a thread that its constructor makes; see dlopen_test.cc.
#include <pthread.h>
#include <stdint.h>

static __thread int number = 1234;
static __thread char large[10000];
static __thread char aligned[64] __attribute__((aligned(64)));
static __thread pthread_t owner;
static int made_by_constructor;

static void* Count(void* counter) {
  ++*(int*)counter;
  number = 1;  // Its own.
  return counter;
}

__attribute__((constructor)) static void Construct(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, Count, &made_by_constructor) != 0) return;
  pthread_join(thread, NULL);
}

// The calling thread's number, 1234 at first.
int* PluginNumber(void) {
  return &number;
}

// 0 if the thread's block is as it was left: filled with `byte`, zeros at first.
int PluginCheck(char byte) {
  if ((uintptr_t)aligned % 64 != 0) return 1;
  if (owner != 0 && !pthread_equal(owner, pthread_self())) return 2;
  for (unsigned i = 0; i < sizeof large; ++i) {
    if (large[i] != byte) return 3;
  }
  for (unsigned i = 0; i < sizeof aligned; ++i) {
    if (aligned[i] != byte) return 4;
  }
  return 0;
}

void PluginFill(char byte) {
  owner = pthread_self();
  for (unsigned i = 0; i < sizeof large; ++i) large[i] = byte;
  for (unsigned i = 0; i < sizeof aligned; ++i) aligned[i] = byte;
}

// How many threads the constructor made: one.
int PluginThreads(void) {
  return made_by_constructor;
}
