// SPDX-License-Identifier: Apache-2.0
// Semaphores and the sleep family.
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cases.h"

// Semaphores

static void SemInit(Function function) {
  sem_t sem;
  CHECK(CALL(sem_init, &sem, 0, 1) == 0);
  CHECK(sem_wait(&sem) == 0);
}
static void SemDestroy(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(CALL(sem_destroy, &sem) == 0);
}
static void SemWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(CALL(sem_wait, &sem) == 0);
  CHECK(sem_trywait(&sem) == -1 && errno == EAGAIN);
}
static void SemTryWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(CALL(sem_trywait, &sem) == 0);
  CHECK(CALL(sem_trywait, &sem) == -1 && errno == EAGAIN);
}
static void SemTimedWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  struct timespec time = In(CLOCK_REALTIME, 10);
  CHECK(CALL(sem_timedwait, &sem, &time) == 0);
  time = In(CLOCK_REALTIME, -1);
  CHECK(CALL(sem_timedwait, &sem, &time) == -1 && errno == ETIMEDOUT);
}
static void SemClockWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  struct timespec time = In(CLOCK_MONOTONIC, 10);
  CHECK(CALL(sem_clockwait, &sem, CLOCK_MONOTONIC, &time) == 0);
  time = In(CLOCK_MONOTONIC, -1);
  CHECK(CALL(sem_clockwait, &sem, CLOCK_MONOTONIC, &time) == -1 && errno == ETIMEDOUT);
}
static void SemPost(Function function) {
  sem_t sem;
  int value = -1;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(CALL(sem_post, &sem) == 0);
  CHECK(sem_getvalue(&sem, &value) == 0 && value == 2);
}
static void SemGetValue(Function function) {
  sem_t sem;
  int value = -1;
  CHECK(sem_init(&sem, 0, 5) == 0);
  CHECK(CALL(sem_getvalue, &sem, &value) == 0 && value == 5);
}
static void SemOpen(Function function) {
  char name[64];
  snprintf(name, sizeof name, "/first_op.%d", getpid());
  sem_t* sem = CALL_SIGN(sem_open, name, O_CREAT | O_EXCL, 0600, 1);
  CHECK(sem != SEM_FAILED);
  CHECK(sem_unlink(name) == 0);
  CHECK(sem_wait(sem) == 0);
  CHECK(sem_close(sem) == 0);
}

// Sleep

static void NanoSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(CALL(nanosleep, &time, NULL) == 0);
  const struct timespec bad = {0, -1};
  CHECK(CALL(nanosleep, &bad, NULL) == -1 && errno == EINVAL);
}
static void ClockNanoSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(CALL(clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL) == 0);
  CHECK(CALL(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == 0);
  CHECK(CALL(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL) == EINVAL);
}
static void USleep(Function function) {
  CHECK(CALL(usleep, 10) == 0);
}
static void Sleep(Function function) {
  CHECK(CALL(sleep, 0) == 0);
}
static const struct Case kCases[] = {
    DECLARED(sem_init, SemInit),
    DECLARED(sem_destroy, SemDestroy),
    DECLARED(sem_wait, SemWait),
    DECLARED(sem_trywait, SemTryWait),
    DECLARED(sem_timedwait, SemTimedWait),
    DECLARED(sem_clockwait, SemClockWait),
    DECLARED(sem_post, SemPost),
    DECLARED(sem_getvalue, SemGetValue),
    DECLARED(sem_open, SemOpen),
    DECLARED(nanosleep, NanoSleep),
    BY_NAME(__nanosleep, NanoSleep),
    DECLARED(clock_nanosleep, ClockNanoSleep),
    DECLARED(usleep, USleep),
    DECLARED(sleep, Sleep),
};

const struct Family kSemFamily = FAMILY(kCases);
