// SPDX-License-Identifier: Apache-2.0
// A program that needs executable stacks from the start (see the Makefile): threads of every size run code on theirs,
// as a nested function's address is.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void* body(void* argument) {
  // mov $imm8, %eax; ret
  volatile unsigned char code[16] = {0xb8, (unsigned char)(long)argument, 0, 0, 0, 0xc3};
  int (*function)(void);
  void* at = (void*)code;
  memcpy(&function, &at, sizeof function);
  return (void*)(long)function();
}

int main(void) {
  static const size_t kSizes[] = {0, 32 * 1024, 1 << 20, 3 << 20};
  enum { kThreads = 8 };
  for (int s = 0; s < 4; ++s) {
    pthread_attr_t attr;
    pthread_t threads[kThreads];
    long sum = 0;
    pthread_attr_init(&attr);
    if (kSizes[s] != 0) pthread_attr_setstacksize(&attr, kSizes[s]);
    for (long i = 0; i < kThreads; ++i) pthread_create(&threads[i], &attr, body, (void*)(i + 1));
    for (int i = 0; i < kThreads; ++i) {
      void* result;
      pthread_join(threads[i], &result);
      sum += (long)result;
    }
    printf("%zu: %ld\n", kSizes[s], sum);
  }
  return 0;
}
