// SPDX-License-Identifier: Apache-2.0
// Like OpenMP's loops: a team of threads, barriers between phases, work shared out dynamically.
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { kTeam = 8, kSize = 200000, kChunk = 512, kPhases = 20 };

static pthread_barrier_t barrier;
static uint32_t values[2][kSize];
static int next_chunk[kPhases];
static uint64_t sums[kTeam];

static void* Member(void* argument) {
  const int me = (int)(intptr_t)argument;
  for (int phase = 0; phase < kPhases; ++phase) {
    const uint32_t* from = values[phase % 2];
    uint32_t* to = values[(phase + 1) % 2];
    for (;;) {
      const int begin = __atomic_fetch_add(&next_chunk[phase], kChunk, __ATOMIC_RELAXED);
      if (begin >= kSize) break;
      const int end = begin + kChunk < kSize ? begin + kChunk : kSize;
      for (int i = begin; i < end; ++i) {
        to[i] = from[i] * 2654435761u + from[(i + 1) % kSize] + (uint32_t)phase;
      }
    }
    pthread_barrier_wait(&barrier);
  }
  for (int i = me; i < kSize; i += kTeam) sums[me] += values[kPhases % 2][i];
  return NULL;
}

int main(void) {
  for (int i = 0; i < kSize; ++i) values[0][i] = (uint32_t)i;
  pthread_barrier_init(&barrier, NULL, kTeam);
  pthread_t team[kTeam];
  for (intptr_t i = 1; i < kTeam; ++i) {
    if (pthread_create(&team[i], NULL, Member, (void*)i) != 0) return 1;
  }
  Member(NULL);
  uint64_t sum = sums[0];
  for (int i = 1; i < kTeam; ++i) {
    pthread_join(team[i], NULL);
    sum += sums[i];
  }
  printf("%llu\n", (unsigned long long)sum);
  return 0;
}
