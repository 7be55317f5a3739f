// SPDX-License-Identifier: Apache-2.0
// A program in pure C11: producers and consumers on mtx_t and cnd_t, tss_t, call_once.
#include <stdio.h>
#include <threads.h>

enum { kProducers = 3, kConsumers = 4, kItems = 400, kRoom = 5 };

static mtx_t mutex;
static cnd_t not_empty;
static cnd_t not_full;
static int queue[kRoom];
static int used;
static int taken;
static long sum;
static tss_t key;
static int destroyed;
static once_flag once = ONCE_FLAG_INIT;
static int once_runs;
static thread_local int own;

static void RunOnce(void) {
  ++once_runs;
}
static void Destroy(void* value) {
  __atomic_fetch_add(&destroyed, *(int*)value, __ATOMIC_RELAXED);
}

static int Produce(void* argument) {
  call_once(&once, RunOnce);
  static int one = 1;
  tss_set(key, &one);
  for (int i = 1; i <= kItems; ++i) {
    mtx_lock(&mutex);
    while (used == kRoom) cnd_wait(&not_full, &mutex);
    queue[used++] = i;
    cnd_signal(&not_empty);
    mtx_unlock(&mutex);
    ++own;
  }
  return argument == NULL ? own : -1;
}

static int Consume(void* argument) {
  call_once(&once, RunOnce);
  (void)argument;
  for (;;) {
    mtx_lock(&mutex);
    while (used == 0 && taken < kProducers * kItems) cnd_wait(&not_empty, &mutex);
    if (used == 0) {
      mtx_unlock(&mutex);
      thrd_exit(own);
    }
    sum += queue[--used];
    if (++taken == kProducers * kItems) cnd_broadcast(&not_empty);
    cnd_signal(&not_full);
    mtx_unlock(&mutex);
    ++own;
  }
}

int main(void) {
  mtx_init(&mutex, mtx_plain);
  cnd_init(&not_empty);
  cnd_init(&not_full);
  tss_create(&key, Destroy);
  thrd_t threads[kProducers + kConsumers];
  for (int i = 0; i < kProducers + kConsumers; ++i) {
    if (thrd_create(&threads[i], i < kProducers ? Produce : Consume, NULL) != thrd_success) return 1;
  }
  int produced = 0;
  int consumed = 0;
  for (int i = 0; i < kProducers + kConsumers; ++i) {
    int result = 0;
    if (thrd_join(threads[i], &result) != thrd_success) return 2;
    *(i < kProducers ? &produced : &consumed) += result;
  }
  printf("produced %d consumed %d sum %ld once %d destroyed %d own %d\n", produced, consumed, sum, once_runs, destroyed,
         own);
  return 0;
}
