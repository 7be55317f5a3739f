// SPDX-License-Identifier: Apache-2.0
// An OpenMP program with an exact result: loops of each schedule, a reduction, barriers, critical
// and atomic sections, tasks, nested regions, a threadprivate variable.
#include <omp.h>
#include <stdint.h>
#include <stdio.h>

enum { kItems = 10000000, kTeam = 8, kRounds = 200, kFibonacci = 20 };

static int visits;
#pragma omp threadprivate(visits)

static uint64_t Mix(uint64_t x) {
  x ^= x >> 31;
  x *= 0x9e3779b97f4a7c15u;
  return x ^ (x >> 27);
}

static uint64_t Loops(void) {
  uint64_t sum = 0;
#pragma omp parallel for num_threads(kTeam) schedule(static) reduction(+ : sum)
  for (int i = 0; i < kItems; ++i) sum += Mix(i);
#pragma omp parallel for num_threads(kTeam) schedule(dynamic, 1000) reduction(^ : sum)
  for (int i = 0; i < kItems; ++i) sum ^= Mix(~(uint64_t)i);
#pragma omp parallel for num_threads(kTeam) schedule(guided) reduction(+ : sum)
  for (int i = 0; i < kItems; ++i) sum += Mix((uint64_t)i << 32);
  return sum;
}

// Each thread reads what its neighbour wrote in the round before.
static uint64_t Barriers(void) {
  uint64_t cells[2][kTeam] = {{1, 2, 3, 4, 5, 6, 7, 8}};
#pragma omp parallel num_threads(kTeam)
  {
    const int self = omp_get_thread_num();
    for (int round = 0; round < kRounds; ++round) {
      cells[(round + 1) & 1][self] = Mix(cells[round & 1][(self + 1) % kTeam] + round);
#pragma omp barrier
    }
  }
  uint64_t sum = 0;
  for (int i = 0; i < kTeam; ++i) sum ^= cells[kRounds & 1][i];
  return sum;
}

static int Sections(void) {
  int in_critical = 0;
  int in_atomic = 0;
  int private_visits = 0;
#pragma omp parallel num_threads(kTeam)
  {
    visits = 0;
    for (int i = 0; i < 1000; ++i) {
#pragma omp critical
      ++in_critical;
#pragma omp atomic
      ++in_atomic;
      ++visits;
    }
#pragma omp atomic
    private_visits += visits;
  }
  return in_critical + in_atomic + private_visits;
}

static int Fibonacci(int n) {
  if (n < 2) return n;
  int a;
  int b;
#pragma omp task shared(a) if (n > 10)
  a = Fibonacci(n - 1);
#pragma omp task shared(b) if (n > 10)
  b = Fibonacci(n - 2);
#pragma omp taskwait
  return a + b;
}

static int Tasks(void) {
  int result = 0;
#pragma omp parallel num_threads(kTeam)
#pragma omp single
  result = Fibonacci(kFibonacci);
  return result;
}

static int Nested(void) {
  int leaves = 0;
  omp_set_max_active_levels(2);
#pragma omp parallel num_threads(4)
#pragma omp parallel num_threads(3)
  {
#pragma omp atomic
    leaves += 1 + omp_get_ancestor_thread_num(1);
  }
  return leaves;
}

int main(void) {
  printf("loops %016llx\n", (unsigned long long)Loops());
  printf("barriers %016llx\n", (unsigned long long)Barriers());
  printf("sections %d\n", Sections());
  printf("tasks %d\n", Tasks());
  printf("nested %d\n", Nested());
  return 0;
}
