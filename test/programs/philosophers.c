// SPDX-License-Identifier: Apache-2.0
// Dining philosophers with a mutex for each fork: everybody eats as often as planned.
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { kSeats = 7, kMeals = 300 };

static pthread_mutex_t forks[kSeats];
static int meals[kSeats];
static int in_use[kSeats];
static int clashes;

static void* Dine(void* argument) {
  const int me = (int)(intptr_t)argument;
  const int other = (me + 1) % kSeats;
  const int low = me < other ? me : other;
  const int high = me < other ? other : me;
  for (int i = 0; i < kMeals; ++i) {
    pthread_mutex_lock(&forks[low]);
    if (i % 32 == 0) sched_yield();
    pthread_mutex_lock(&forks[high]);
    if (in_use[low]++ != 0 || in_use[high]++ != 0) ++clashes;
    ++meals[me];
    if (i % 50 == 0) usleep(10);
    --in_use[low];
    --in_use[high];
    pthread_mutex_unlock(&forks[high]);
    pthread_mutex_unlock(&forks[low]);
  }
  return NULL;
}

int main(void) {
  pthread_t seats[kSeats];
  for (int i = 0; i < kSeats; ++i) pthread_mutex_init(&forks[i], NULL);
  for (intptr_t i = 0; i < kSeats; ++i) {
    if (pthread_create(&seats[i], NULL, Dine, (void*)i) != 0) return 1;
  }
  for (int i = 0; i < kSeats; ++i) {
    pthread_join(seats[i], NULL);
    printf("%d ate %d\n", i, meals[i]);
  }
  printf("%d clashes\n", clashes);
  return clashes;
}
