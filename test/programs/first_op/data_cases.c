// SPDX-License-Identifier: Apache-2.0
// Attributes, once and thread-specific data.
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <threads.h>

#include "cases.h"

// Attributes

static void AttrInit(Function function) {
  pthread_attr_t attr;
  CHECK(CALL(pthread_attr_init, &attr) == 0);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void AttrDestroy(Function function) {
  pthread_attr_t attr;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(CALL(pthread_attr_destroy, &attr) == 0);
}
static void AttrSetStackSize(Function function) {
  pthread_attr_t attr;
  size_t size = 0;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(CALL(pthread_attr_setstacksize, &attr, 1 << 20) == 0);
  CHECK(pthread_attr_getstacksize(&attr, &size) == 0 && size == 1 << 20);
}
static void AttrGetStackSize(Function function) {
  pthread_attr_t attr;
  size_t size = 0;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(CALL(pthread_attr_getstacksize, &attr, &size) == 0 && size > 0);
}

// Once and thread-specific data

static int once_runs;
static void CountRun(void) {
  ++once_runs;
}
static void Once(Function function) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  CHECK(CALL(pthread_once, &once, CountRun) == 0);
  CHECK(CALL(pthread_once, &once, CountRun) == 0);
  CHECK(once_runs == 1);
}
static void CallOnce(Function function) {
  static once_flag flag = ONCE_FLAG_INIT;
  CALL_VOID(call_once, &flag, CountRun);
  CALL_VOID(call_once, &flag, CountRun);
  CHECK(once_runs == 1);
}
static void KeyCreate(Function function) {
  pthread_key_t key;
  CHECK(CALL(pthread_key_create, &key, NULL) == 0);
  CHECK(pthread_getspecific(key) == NULL);
  CHECK(pthread_setspecific(key, &key) == 0);
  CHECK(pthread_getspecific(key) == &key);
  CHECK(pthread_key_delete(key) == 0);
}
static void KeyDelete(Function function) {
  CHECK(CALL(pthread_key_delete, 1000) == EINVAL);
  pthread_key_t key;
  CHECK(pthread_key_create(&key, NULL) == 0);
  CHECK(CALL(pthread_key_delete, key) == 0);
}
static void SetSpecific(Function function) {
  CHECK(CALL(pthread_setspecific, 1000, &once_runs) == EINVAL);
  pthread_key_t key;
  CHECK(pthread_key_create(&key, NULL) == 0);
  CHECK(CALL(pthread_setspecific, key, &key) == 0);
  CHECK(pthread_getspecific(key) == &key);
}
static void GetSpecific(Function function) {
  CHECK(CALL_SIGN(pthread_getspecific, 1000) == NULL);
  pthread_key_t key;
  CHECK(pthread_key_create(&key, NULL) == 0);
  CHECK(pthread_setspecific(key, &key) == 0);
  CHECK(CALL_SIGN(pthread_getspecific, key) == &key);
}
static void TssCreate(Function function) {
  tss_t key;
  CHECK(CALL(tss_create, &key, NULL) == thrd_success);
  CHECK(tss_set(key, &key) == thrd_success);
  CHECK(tss_get(key) == &key);
}
static void TssDelete(Function function) {
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success);
  CALL_VOID(tss_delete, key);
}
static void TssSet(Function function) {
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success);
  CHECK(CALL(tss_set, key, &key) == thrd_success);
  CHECK(tss_get(key) == &key);
}
static void TssGet(Function function) {
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success);
  CHECK(CALL_SIGN(tss_get, key) == NULL);
}
static const struct Case kCases[] = {
    DECLARED(pthread_attr_init, AttrInit),
    DECLARED(pthread_attr_destroy, AttrDestroy),
    DECLARED(pthread_attr_setstacksize, AttrSetStackSize),
    DECLARED(pthread_attr_getstacksize, AttrGetStackSize),
    DECLARED(pthread_once, Once),
    BY_NAME(__pthread_once, Once),
    DECLARED(call_once, CallOnce),
    DECLARED(pthread_key_create, KeyCreate),
    BY_NAME(__pthread_key_create, KeyCreate),
    DECLARED(pthread_key_delete, KeyDelete),
    DECLARED(pthread_setspecific, SetSpecific),
    BY_NAME(__pthread_setspecific, SetSpecific),
    DECLARED(pthread_getspecific, GetSpecific),
    BY_NAME(__pthread_getspecific, GetSpecific),
    DECLARED(tss_create, TssCreate),
    DECLARED(tss_delete, TssDelete),
    DECLARED(tss_set, TssSet),
    DECLARED(tss_get, TssGet),
};

const struct Family kDataFamily = FAMILY(kCases);
