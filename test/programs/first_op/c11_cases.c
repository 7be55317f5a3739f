// SPDX-License-Identifier: Apache-2.0
// C11 threads.
#include <threads.h>
#include <time.h>

#include "cases.h"

static int EchoInt(void* argument) {
  return (int)(long)argument;
}

static void ThrdCreate(Function function) {
  thrd_t thread;
  int result = 0;
  CHECK(CALL(thrd_create, &thread, EchoInt, (void*)6) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 6);
}
static void ThrdJoin(Function function) {
  thrd_t thread;
  int result = 0;
  CHECK(thrd_create(&thread, EchoInt, (void*)6) == thrd_success);
  CHECK(CALL(thrd_join, thread, &result) == thrd_success && result == 6);
}
static void ThrdDetach(Function function) {
  thrd_t thread;
  CHECK(thrd_create(&thread, EchoInt, NULL) == thrd_success);
  CHECK(CALL(thrd_detach, thread) == thrd_success);
}
static void ThrdExit(Function function) {
  CALL_VOID(thrd_exit, FIRST_OP_RESULT);
}
static void ThrdCurrent(Function function) {
  CHECK(thrd_equal(CALL_SIGN(thrd_current), thrd_current()));
}
static void ThrdEqual(Function function) {
  CHECK(CALL(thrd_equal, thrd_current(), thrd_current()));
}
static void ThrdSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(CALL(thrd_sleep, &time, NULL) == 0);
}
static void ThrdYield(Function function) {
  CALL_VOID(thrd_yield);
}
static void MtxInit(Function function) {
  mtx_t mutex;
  CHECK(CALL(mtx_init, &mutex, mtx_recursive) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
}
static void MtxDestroy(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CALL_VOID(mtx_destroy, &mutex);
}
static void MtxLock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(CALL(mtx_lock, &mutex) == thrd_success);
  CHECK(mtx_trylock(&mutex) == thrd_busy);
}
static void MtxTryLock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(CALL(mtx_trylock, &mutex) == thrd_success);
  CHECK(CALL(mtx_trylock, &mutex) == thrd_busy);
}
static void MtxTimedLock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_timed) == thrd_success);
  struct timespec time = In(CLOCK_REALTIME, 10);
  CHECK(CALL(mtx_timedlock, &mutex, &time) == thrd_success);
  time = In(CLOCK_REALTIME, -1);
  CHECK(CALL(mtx_timedlock, &mutex, &time) == thrd_timedout);
}
static void MtxUnlock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  CHECK(CALL(mtx_unlock, &mutex) == thrd_success);
  CHECK(mtx_trylock(&mutex) == thrd_success);
}
static void CndInit(Function function) {
  cnd_t cond;
  CHECK(CALL(cnd_init, &cond) == thrd_success);
  CHECK(cnd_signal(&cond) == thrd_success);
}
static void CndDestroy(Function function) {
  cnd_t cond;
  CHECK(cnd_init(&cond) == thrd_success);
  CALL_VOID(cnd_destroy, &cond);
}
static void CndSignal(Function function) {
  cnd_t cond;
  CHECK(cnd_init(&cond) == thrd_success);
  CHECK(CALL(cnd_signal, &cond) == thrd_success);
}
static void CndBroadcast(Function function) {
  cnd_t cond;
  CHECK(cnd_init(&cond) == thrd_success);
  CHECK(CALL(cnd_broadcast, &cond) == thrd_success);
}
struct C11Handover {
  mtx_t mutex;
  cnd_t cond;
  int ready;
};
static int HandOverC11(void* argument) {
  struct C11Handover* handover = argument;
  mtx_lock(&handover->mutex);
  handover->ready = 1;
  cnd_signal(&handover->cond);
  mtx_unlock(&handover->mutex);
  return 0;
}
static void CndWait(Function function) {
  static struct C11Handover handover;  // as in CondWait
  CHECK(mtx_init(&handover.mutex, mtx_plain) == thrd_success);
  CHECK(cnd_init(&handover.cond) == thrd_success);
  thrd_t thread;
  mtx_lock(&handover.mutex);
  CHECK(thrd_create(&thread, HandOverC11, &handover) == thrd_success);
  while (!handover.ready) CHECK(CALL(cnd_wait, &handover.cond, &handover.mutex) == thrd_success);
  mtx_unlock(&handover.mutex);
  CHECK(thrd_join(thread, NULL) == thrd_success);
}
static void CndTimedWait(Function function) {
  mtx_t mutex;
  cnd_t cond;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(cnd_init(&cond) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  const struct timespec past = In(CLOCK_REALTIME, -1);
  CHECK(CALL(cnd_timedwait, &cond, &mutex, &past) == thrd_timedout);
  CHECK(mtx_unlock(&mutex) == thrd_success);
}
static const struct Case kCases[] = {
    DECLARED(thrd_create, ThrdCreate),     DECLARED(thrd_join, ThrdJoin),         DECLARED(thrd_detach, ThrdDetach),
    DECLARED(thrd_exit, ThrdExit),         DECLARED(thrd_current, ThrdCurrent),   DECLARED(thrd_equal, ThrdEqual),
    DECLARED(thrd_sleep, ThrdSleep),       DECLARED(thrd_yield, ThrdYield),       DECLARED(mtx_init, MtxInit),
    DECLARED(mtx_destroy, MtxDestroy),     DECLARED(mtx_lock, MtxLock),           DECLARED(mtx_trylock, MtxTryLock),
    DECLARED(mtx_timedlock, MtxTimedLock), DECLARED(mtx_unlock, MtxUnlock),       DECLARED(cnd_init, CndInit),
    DECLARED(cnd_destroy, CndDestroy),     DECLARED(cnd_signal, CndSignal),       DECLARED(cnd_broadcast, CndBroadcast),
    DECLARED(cnd_wait, CndWait),           DECLARED(cnd_timedwait, CndTimedWait),
};

const struct Family kC11Family = FAMILY(kCases);
