// SPDX-License-Identifier: Apache-2.0
// What libc's functions allocate for a thread is freed when it ends: this program counts. One thread comes first, with
// which libc allocates what it keeps for the process; then rounds of many that are alive at once leave nothing.
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void __libc_free(void*);

enum { kMost = 1 << 14, kThreads = 24, kRounds = 4 };

static _Thread_local int counting;
static _Atomic(void*) blocks[kMost];
static atomic_int live;

// Blocks that were allocated while `counting`, by their address.
static void note(void* block) {
  if (counting == 0 || block == NULL) return;
  for (size_t i = (size_t)block / 16;; ++i) {
    void* none = NULL;
    if (atomic_compare_exchange_strong(&blocks[i % kMost], &none, block)) break;
  }
  atomic_fetch_add(&live, 1);
}
static void forget(void* block) {
  if (block == NULL) return;
  for (size_t i = 0; i < kMost; ++i) {
    _Atomic(void*)* at = &blocks[((size_t)block / 16 + i) % kMost];
    void* expected = block;
    if (atomic_load(at) == NULL && i > 256) return;
    if (atomic_load(at) == block && atomic_compare_exchange_strong(at, &expected, NULL)) {
      atomic_fetch_sub(&live, 1);
      return;
    }
  }
}

void* malloc(size_t size) {
  void* block = __libc_malloc(size);
  note(block);
  return block;
}
void* calloc(size_t n, size_t size) {
  void* block = __libc_calloc(n, size);
  note(block);
  return block;
}
void* realloc(void* old, size_t size) {
  forget(old);
  void* block = __libc_realloc(old, size);
  note(block);
  return block;
}
void free(void* block) {
  forget(block);
  __libc_free(block);
}

struct Use {
  const char* name;
  void (*use)(void);
};

static void use_strerror(void) {
  if (strerror(4711) == NULL) abort();
}
static void use_strsignal(void) {
  if (strsignal(4711) == NULL) abort();
}
static void use_dlopen(void) {
  if (dlopen("/nonexistent/library.so", RTLD_NOW) != NULL) abort();
}
static void use_dlerror(void) {
  use_dlopen();
  if (dlerror() == NULL) abort();
}
static void use_resolver(void) {
  if (res_init() != 0) abort();
}
static pthread_key_t keys[64];
static void use_keys(void) {
  for (int i = 0; i < 64; ++i) pthread_setspecific(keys[i], &keys[i]);
}

static const struct Use kUses[] = {
    {"nothing", NULL},
    {"strerror", use_strerror},
    {"strsignal", use_strsignal},
    {"dlopen, unread", use_dlopen},
    {"dlopen and dlerror", use_dlerror},
    {"res_init", use_resolver},
    {"values of keys", use_keys},
};
enum { kUsesCount = sizeof kUses / sizeof kUses[0] };

static pthread_barrier_t all_have;

static void* body(void* argument) {
  const struct Use* use = argument;
  counting = 1;
  if (use->use != NULL) use->use();
  counting = 0;
  pthread_barrier_wait(&all_have);
  return NULL;
}

static void* body_exits(void* argument) {
  body(argument);
  pthread_exit(NULL);
}

static void* body_is_cancelled(void* argument) {
  body(argument);
  pthread_cancel(pthread_self());
  pthread_testcancel();
  return NULL;
}

static void run_round(const struct Use* use, int n) {
  static void* (*const kBodies[])(void*) = {body, body_exits, body_is_cancelled};
  pthread_t threads[kThreads];
  pthread_barrier_init(&all_have, NULL, n);
  for (int i = 0; i < n; ++i) pthread_create(&threads[i], NULL, kBodies[i % 3], (void*)use);
  for (int i = 0; i < n; ++i) pthread_join(threads[i], NULL);
}

int main(void) {
  int bad = 0;
  for (int i = 0; i < 64; ++i) pthread_key_create(&keys[i], NULL);
  for (int i = 0; i < kUsesCount; ++i) {
    run_round(&kUses[i], 1);
    const int before = atomic_load(&live);
    for (int round = 0; round < kRounds; ++round) run_round(&kUses[i], kThreads);
    const int left = atomic_load(&live) - before;
    if (left > 0) {
      printf("%s: %d blocks left\n", kUses[i].name, left);
      ++bad;
    }
  }
  printf("%d of %d left something\n", bad, kUsesCount);
  return bad != 0;
}
