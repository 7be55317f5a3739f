// SPDX-License-Identifier: Apache-2.0
// Mutexes, condition variables, reader-writer locks, barriers and spin locks.
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "cases.h"

// Mutexes

static void MutexInit(Function function) {
  pthread_mutex_t mutex;
  CHECK(CALL(pthread_mutex_init, &mutex, NULL) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void MutexDestroy(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(CALL(pthread_mutex_destroy, &mutex) == 0);
}
static void MutexLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(CALL(pthread_mutex_lock, &mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void MutexTryLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(CALL(pthread_mutex_trylock, &mutex) == 0);
  CHECK(CALL(pthread_mutex_trylock, &mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void MutexTimedLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct timespec time = In(CLOCK_REALTIME, 10);
  CHECK(CALL(pthread_mutex_timedlock, &mutex, &time) == 0);
  time = In(CLOCK_REALTIME, -1);
  CHECK(CALL(pthread_mutex_timedlock, &mutex, &time) == ETIMEDOUT);
}
static void MutexClockLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct timespec time = In(CLOCK_MONOTONIC, 10);
  CHECK(CALL(pthread_mutex_clocklock, &mutex, CLOCK_MONOTONIC, &time) == 0);
  time = In(CLOCK_MONOTONIC, -1);
  CHECK(CALL(pthread_mutex_clocklock, &mutex, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
}
static void MutexUnlock(Function function) {
  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  CHECK(CALL(pthread_mutex_unlock, &mutex) == EPERM);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(CALL(pthread_mutex_unlock, &mutex) == 0);
}
static void MutexConsistent(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(CALL(pthread_mutex_consistent, &mutex) == EINVAL);
}
static void MutexGetPrioCeiling(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int ceiling;
  CHECK(CALL(pthread_mutex_getprioceiling, &mutex, &ceiling) == EINVAL);
}
static void MutexSetPrioCeiling(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int ceiling;
  CHECK(CALL(pthread_mutex_setprioceiling, &mutex, 1, &ceiling) == EINVAL);
}

// Condition variables

static void CondInit(Function function) {
  pthread_cond_t cond;
  CHECK(CALL(pthread_cond_init, &cond, NULL) == 0);
  CHECK(pthread_cond_signal(&cond) == 0);
}
static void CondDestroy(Function function) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  CHECK(CALL(pthread_cond_destroy, &cond) == 0);
}
static void CondSignal(Function function) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  CHECK(CALL(pthread_cond_signal, &cond) == 0);
}
static void CondBroadcast(Function function) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  CHECK(CALL(pthread_cond_broadcast, &cond) == 0);
}
void* HandOver(void* argument) {
  struct Handover* handover = argument;
  pthread_mutex_lock(&handover->mutex);
  handover->ready = 1;
  pthread_cond_signal(&handover->cond);
  pthread_mutex_unlock(&handover->mutex);
  return NULL;
}
static void CondWait(Function function) {
  pthread_mutex_t check = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t unused = PTHREAD_COND_INITIALIZER;
  CHECK(CALL(pthread_cond_wait, &unused, &check) == EPERM);
  // Static: the thread may outlive a caller that is cancelled.
  static struct Handover handover = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pthread_t thread;
  pthread_mutex_lock(&handover.mutex);
  CHECK(pthread_create(&thread, NULL, HandOver, &handover) == 0);
  while (!handover.ready) CHECK(CALL(pthread_cond_wait, &handover.cond, &handover.mutex) == 0);
  pthread_mutex_unlock(&handover.mutex);
  CHECK(pthread_join(thread, NULL) == 0);
}
static void CondTimedWait(Function function) {
  pthread_mutex_t check = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  const struct timespec past = In(CLOCK_REALTIME, -1);
  CHECK(CALL(pthread_cond_timedwait, &cond, &check, &past) == EPERM);
  pthread_mutex_lock(&check);
  CHECK(CALL(pthread_cond_timedwait, &cond, &check, &past) == ETIMEDOUT);
  pthread_mutex_unlock(&check);
}
static void CondClockWait(Function function) {
  pthread_mutex_t check = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  const struct timespec past = In(CLOCK_MONOTONIC, -1);
  CHECK(CALL(pthread_cond_clockwait, &cond, &check, CLOCK_MONOTONIC, &past) == EPERM);
  pthread_mutex_lock(&check);
  CHECK(CALL(pthread_cond_clockwait, &cond, &check, CLOCK_MONOTONIC, &past) == ETIMEDOUT);
  pthread_mutex_unlock(&check);
}

// Reader-writer locks

static void RwlockInit(Function function) {
  pthread_rwlock_t lock;
  CHECK(CALL(pthread_rwlock_init, &lock, NULL) == 0);
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockDestroy(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(CALL(pthread_rwlock_destroy, &lock) == 0);
}
static void RwlockRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(CALL(pthread_rwlock_rdlock, &lock) == 0);
  CHECK(CALL(pthread_rwlock_rdlock, &lock) == 0);
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(CALL(pthread_rwlock_wrlock, &lock) == 0);
  CHECK(CALL(pthread_rwlock_wrlock, &lock) == EDEADLK);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTryRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(CALL(pthread_rwlock_tryrdlock, &lock) == 0);
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTryWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(CALL(pthread_rwlock_trywrlock, &lock) == 0);
  CHECK(pthread_rwlock_tryrdlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTimedRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_REALTIME, 10);
  CHECK(CALL(pthread_rwlock_timedrdlock, &lock, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTimedWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_REALTIME, 10);
  CHECK(CALL(pthread_rwlock_timedwrlock, &lock, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockClockRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_MONOTONIC, 10);
  CHECK(CALL(pthread_rwlock_clockrdlock, &lock, CLOCK_MONOTONIC, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockClockWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_MONOTONIC, 10);
  CHECK(CALL(pthread_rwlock_clockwrlock, &lock, CLOCK_MONOTONIC, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockUnlock(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(pthread_rwlock_wrlock(&lock) == 0);
  CHECK(CALL(pthread_rwlock_unlock, &lock) == 0);
  CHECK(pthread_rwlock_trywrlock(&lock) == 0);
}

// Barriers and spin locks

static void BarrierInit(Function function) {
  pthread_barrier_t barrier;
  CHECK(CALL(pthread_barrier_init, &barrier, NULL, 0) == EINVAL);
  CHECK(CALL(pthread_barrier_init, &barrier, NULL, 1) == 0);
  CHECK(pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
}
static void BarrierDestroy(Function function) {
  pthread_barrier_t barrier;
  CHECK(pthread_barrier_init(&barrier, NULL, 1) == 0);
  CHECK(CALL(pthread_barrier_destroy, &barrier) == 0);
}
static void BarrierWait(Function function) {
  pthread_barrier_t barrier;
  CHECK(pthread_barrier_init(&barrier, NULL, 1) == 0);
  CHECK(CALL(pthread_barrier_wait, &barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
}
static void SpinInit(Function function) {
  pthread_spinlock_t lock;
  CHECK(CALL(pthread_spin_init, &lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(pthread_spin_lock(&lock) == 0);
  CHECK(pthread_spin_unlock(&lock) == 0);
}
static void SpinDestroy(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(CALL(pthread_spin_destroy, &lock) == 0);
}
static void SpinLock(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(CALL(pthread_spin_lock, &lock) == 0);
  CHECK(pthread_spin_trylock(&lock) == EBUSY);
}
static void SpinTryLock(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(CALL(pthread_spin_trylock, &lock) == 0);
  CHECK(CALL(pthread_spin_trylock, &lock) == EBUSY);
}
static void SpinUnlock(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(pthread_spin_lock(&lock) == 0);
  CHECK(CALL(pthread_spin_unlock, &lock) == 0);
  CHECK(pthread_spin_trylock(&lock) == 0);
}
static const struct Case kCases[] = {
    DECLARED(pthread_mutex_init, MutexInit),
    BY_NAME(__pthread_mutex_init, MutexInit),
    DECLARED(pthread_mutex_destroy, MutexDestroy),
    BY_NAME(__pthread_mutex_destroy, MutexDestroy),
    DECLARED(pthread_mutex_lock, MutexLock),
    BY_NAME(__pthread_mutex_lock, MutexLock),
    DECLARED(pthread_mutex_trylock, MutexTryLock),
    BY_NAME(__pthread_mutex_trylock, MutexTryLock),
    DECLARED(pthread_mutex_timedlock, MutexTimedLock),
    DECLARED(pthread_mutex_clocklock, MutexClockLock),
    DECLARED(pthread_mutex_unlock, MutexUnlock),
    BY_NAME(__pthread_mutex_unlock, MutexUnlock),
    DECLARED(pthread_mutex_consistent, MutexConsistent),
    DECLARED(pthread_mutex_getprioceiling, MutexGetPrioCeiling),
    DECLARED(pthread_mutex_setprioceiling, MutexSetPrioCeiling),
    DECLARED(pthread_cond_init, CondInit),
    DECLARED(pthread_cond_destroy, CondDestroy),
    DECLARED(pthread_cond_signal, CondSignal),
    DECLARED(pthread_cond_broadcast, CondBroadcast),
    DECLARED(pthread_cond_wait, CondWait),
    DECLARED(pthread_cond_timedwait, CondTimedWait),
    DECLARED(pthread_cond_clockwait, CondClockWait),
    DECLARED(pthread_rwlock_init, RwlockInit),
    BY_NAME(__pthread_rwlock_init, RwlockInit),
    DECLARED(pthread_rwlock_destroy, RwlockDestroy),
    BY_NAME(__pthread_rwlock_destroy, RwlockDestroy),
    DECLARED(pthread_rwlock_rdlock, RwlockRead),
    BY_NAME(__pthread_rwlock_rdlock, RwlockRead),
    DECLARED(pthread_rwlock_tryrdlock, RwlockTryRead),
    BY_NAME(__pthread_rwlock_tryrdlock, RwlockTryRead),
    DECLARED(pthread_rwlock_timedrdlock, RwlockTimedRead),
    DECLARED(pthread_rwlock_clockrdlock, RwlockClockRead),
    DECLARED(pthread_rwlock_wrlock, RwlockWrite),
    BY_NAME(__pthread_rwlock_wrlock, RwlockWrite),
    DECLARED(pthread_rwlock_trywrlock, RwlockTryWrite),
    BY_NAME(__pthread_rwlock_trywrlock, RwlockTryWrite),
    DECLARED(pthread_rwlock_timedwrlock, RwlockTimedWrite),
    DECLARED(pthread_rwlock_clockwrlock, RwlockClockWrite),
    DECLARED(pthread_rwlock_unlock, RwlockUnlock),
    BY_NAME(__pthread_rwlock_unlock, RwlockUnlock),
    DECLARED(pthread_barrier_init, BarrierInit),
    DECLARED(pthread_barrier_destroy, BarrierDestroy),
    DECLARED(pthread_barrier_wait, BarrierWait),
    DECLARED(pthread_spin_init, SpinInit),
    DECLARED(pthread_spin_destroy, SpinDestroy),
    DECLARED(pthread_spin_lock, SpinLock),
    DECLARED(pthread_spin_trylock, SpinTryLock),
    DECLARED(pthread_spin_unlock, SpinUnlock),
};

const struct Family kLockFamily = FAMILY(kCases);
