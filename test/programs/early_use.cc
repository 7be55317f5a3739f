// SPDX-License-Identifier: Apache-2.0
// Threads, locks, keys and a semaphore set up by the first constructor live on in main; a static
// object's constructor and destructor make threads.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

// Everything here is initialised without code, so that nothing depends on an order.
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
pthread_once_t once = PTHREAD_ONCE_INIT;
pthread_key_t key;
sem_t sem;
pthread_t early;
pthread_t self_then;
int once_runs;
int key_destroyed;
bool stop;
bool seen;

void Check(bool good, int line) {
  if (good) return;
  std::fprintf(stderr, "line %d\n", line);
  _exit(1);
}
#define CHECK(condition) Check(condition, __LINE__)

void* EarlyThread(void* argument) {
  CHECK(pthread_setspecific(key, argument) == 0);
  sem_post(&sem);
  pthread_mutex_lock(&mutex);
  while (!stop) pthread_cond_wait(&cond, &mutex);
  seen = true;
  pthread_cond_broadcast(&cond);
  pthread_mutex_unlock(&mutex);
  return argument;
}

// Runs as early as a program's own code can.
__attribute__((constructor(101))) void Before() {
  self_then = pthread_self();
  CHECK(pthread_once(&once, [] { ++once_runs; }) == 0);
  CHECK(pthread_key_create(&key, [](void*) { ++key_destroyed; }) == 0);
  CHECK(pthread_setspecific(key, &key) == 0);
  CHECK(sem_init(&sem, 0, 0) == 0);
  CHECK(pthread_create(&early, nullptr, &EarlyThread, &sem) == 0);
  CHECK(sem_wait(&sem) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(usleep(10) == 0);
  CHECK(sched_yield() == 0);
  std::puts("before main");
}

struct Static {
  Static() {
    std::thread([this] { value = 5; }).join();
  }
  ~Static() {
    std::thread([] { std::puts("after main"); }).join();
  }
  int value = 0;
} object;

}  // namespace

int main() {
  CHECK(once_runs == 1);
  CHECK(pthread_once(&once, [] { ++once_runs; }) == 0);
  CHECK(once_runs == 1);
  CHECK(pthread_equal(self_then, pthread_self()));
  CHECK(pthread_getspecific(key) == &key);
  CHECK(object.value == 5);
  pthread_mutex_lock(&mutex);
  stop = true;
  pthread_cond_broadcast(&cond);
  while (!seen) pthread_cond_wait(&cond, &mutex);
  pthread_mutex_unlock(&mutex);
  void* result = nullptr;
  CHECK(pthread_join(early, &result) == 0);
  CHECK(result == &sem);
  CHECK(key_destroyed == 1);
  std::puts("main");
  return 3;
}
