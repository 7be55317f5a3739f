// SPDX-License-Identifier: Apache-2.0
// Code on stacks. A library that needs executable stacks is loaded while threads are alive, some of them asleep, others
// over: from then on those that were there, new ones of every size, and those of forked children run code on theirs
// (glibc up to 2.40; later ones refuse the library).
// usage: executable_stacks
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kOld = 5, kAnswer = 46 };

static pthread_barrier_t begun, loaded;

// mov $46, %eax; ret
static int run_on_stack(void) {
  volatile unsigned char code[16] = {0xb8, kAnswer, 0, 0, 0, 0xc3};
  int (*function)(void);
  void* at = (void*)code;
  memcpy(&function, &at, sizeof function);
  return function();
}

static void* old_thread(void* unused) {
  (void)unused;
  pthread_barrier_wait(&begun);
  pthread_barrier_wait(&loaded);
  return (void*)(long)run_on_stack();
}
static void* new_thread(void* unused) {
  (void)unused;
  return (void*)(long)run_on_stack();
}
static void* nothing(void* unused) {
  return unused;
}

static int in_new_thread(size_t stack_size) {
  pthread_attr_t attr;
  pthread_t thread;
  void* result = NULL;
  pthread_attr_init(&attr);
  if (stack_size != 0) pthread_attr_setstacksize(&attr, stack_size);
  pthread_create(&thread, &attr, new_thread, NULL);
  pthread_join(thread, &result);
  pthread_attr_destroy(&attr);
  return (int)(long)result;
}

static int in_child(int depth) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    int good = run_on_stack() == kAnswer;
    for (int i = 0; i < 20; ++i) good &= in_new_thread(i % 2 == 0 ? 0 : 128 * 1024) == kAnswer;
    if (depth > 1) good &= in_child(depth - 1);
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0;
}

int main(void) {
  pthread_t threads[kOld];
  pthread_barrier_init(&begun, NULL, kOld + 1);
  pthread_barrier_init(&loaded, NULL, kOld + 1);
  for (int i = 0; i < kOld; ++i) pthread_create(&threads[i], NULL, nothing, NULL);
  for (int i = 0; i < kOld; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < kOld; ++i) pthread_create(&threads[i], NULL, old_thread, NULL);
  pthread_barrier_wait(&begun);
  void* library = dlopen("build/test/programs/plugins/executable_stack.so", RTLD_NOW);
  if (library == NULL) {
    puts(dlerror());
    return 0;
  }
  printf("main %d\n", run_on_stack());
  pthread_barrier_wait(&loaded);
  for (int i = 0; i < kOld; ++i) {
    void* result;
    pthread_join(threads[i], &result);
    printf("a thread that was there %d\n", (int)(long)result);
  }
  printf("a new one %d\n", in_new_thread(0));
  printf("of another size %d %d\n", in_new_thread(1 << 20), in_new_thread(64 * 1024));
  printf("in a child and its child %d\n", in_child(2));
  printf("and again %d\n", in_new_thread(0));
  printf("set*id %d\n", seteuid(geteuid()));
  return 0;
}
