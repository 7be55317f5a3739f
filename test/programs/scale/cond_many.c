// SPDX-License-Identifier: Apache-2.0
// Keeps many threads alive at once, each in pthread_cond_wait, then lets them all go.
// usage: cond_many THREADS [report] [STACK_KIB]
// "report" adds what a thread costs while all of them wait. Status 3: not all could be created.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_wait = PTHREAD_COND_INITIALIZER;
static pthread_cond_t go = PTHREAD_COND_INITIALIZER;
static long waiting;
static long passed;
static int open_now;

struct Cost {
  long rss_kb;
  long page_tables_kb;
  long kernel_threads;
};

static struct Cost Measure(void) {
  struct Cost cost = {0, 0, 0};
  FILE* status = fopen("/proc/self/status", "r");
  if (status == NULL) return cost;
  char line[256];
  while (fgets(line, sizeof line, status) != NULL) {
    sscanf(line, "VmRSS: %ld", &cost.rss_kb);
    sscanf(line, "VmPTE: %ld", &cost.page_tables_kb);
    sscanf(line, "Threads: %ld", &cost.kernel_threads);
  }
  fclose(status);
  return cost;
}

static void* Wait(void* argument) {
  pthread_mutex_lock(&mutex);
  ++waiting;
  pthread_cond_signal(&all_wait);
  while (!open_now) pthread_cond_wait(&go, &mutex);
  ++passed;
  pthread_mutex_unlock(&mutex);
  return argument;
}

int main(int argc, char** argv) {
  const long wanted = argc > 1 ? atol(argv[1]) : 1000;
  const int report = argc > 2 && strcmp(argv[2], "report") == 0;
  const long stack_kib = argc > 2 ? atol(argv[argc - 1]) : 0;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  if (stack_kib > 0 && pthread_attr_setstacksize(&attr, (size_t)stack_kib * 1024) != 0) return 1;
  pthread_t* threads = calloc((size_t)wanted, sizeof *threads);
  if (threads == NULL) return 1;
  memset(threads, 1, (size_t)wanted * sizeof *threads);  // Not to be counted as the threads' cost.

  const struct Cost before = Measure();
  long created = 0;
  int error = 0;
  while (created < wanted) {
    error = pthread_create(&threads[created], &attr, Wait, (void*)created);
    if (error != 0) break;
    ++created;
  }
  if (error != 0) fprintf(stderr, "after %ld threads: %s\n", created, strerror(error));

  pthread_mutex_lock(&mutex);
  while (waiting < created) pthread_cond_wait(&all_wait, &mutex);
  pthread_mutex_unlock(&mutex);
  printf("%ld threads wait\n", created);
  if (report && created > 0) {
    const struct Cost now = Measure();
    const double rss = (double)(now.rss_kb - before.rss_kb) / (double)created;
    const double tables = (double)(now.page_tables_kb - before.page_tables_kb) / (double)created;
    printf("rss_kb_per_thread %.3f\n", rss);
    printf("page_tables_kb_per_thread %.3f\n", tables);
    printf("kb_per_thread %.3f\n", rss + tables);
    printf("kernel_threads %ld\n", now.kernel_threads);
    fflush(stdout);
  }

  pthread_mutex_lock(&mutex);
  open_now = 1;
  pthread_cond_broadcast(&go);
  pthread_mutex_unlock(&mutex);
  for (long i = 0; i < created; ++i) {
    void* result = NULL;
    if (pthread_join(threads[i], &result) != 0 || result != (void*)i) return 2;
  }
  printf("%ld threads passed\n", passed);
  return created == wanted ? 0 : 3;
}
