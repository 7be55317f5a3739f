// SPDX-License-Identifier: Apache-2.0
// Threads: create, join, cancel, name, policy, yield.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "cases.h"

static void* WaitForever(void* argument) {
  for (;;) pause();
  return argument;
}

static void Create(Function function) {
  pthread_t thread;
  void* result = NULL;
  CHECK(CALL(pthread_create, &thread, NULL, Echo, (void*)3) == 0);
  CHECK(pthread_join(thread, &result) == 0);
  CHECK(result == (void*)3);
}
static void Join(Function function) {
  CHECK(CALL(pthread_join, pthread_self(), NULL) == EDEADLK);
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, Echo, (void*)4) == 0);
  CHECK(CALL(pthread_join, thread, &result) == 0);
  CHECK(result == (void*)4);
}
static void TryJoin(Function function) {
  CHECK(CALL(pthread_tryjoin_np, pthread_self(), NULL) == EBUSY);
}
static void TimedJoin(Function function) {
  const struct timespec later = In(CLOCK_REALTIME, 10);
  CHECK(CALL(pthread_timedjoin_np, pthread_self(), NULL, &later) == EDEADLK);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, Echo, NULL) == 0);
  CHECK(CALL(pthread_timedjoin_np, thread, NULL, &later) == 0);
}
static void ClockJoin(Function function) {
  const struct timespec later = In(CLOCK_MONOTONIC, 10);
  CHECK(CALL(pthread_clockjoin_np, pthread_self(), NULL, CLOCK_MONOTONIC, &later) == EDEADLK);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, Echo, NULL) == 0);
  CHECK(CALL(pthread_clockjoin_np, thread, NULL, CLOCK_MONOTONIC, &later) == 0);
}
static void Detach(Function function) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, Echo, NULL) == 0);
  CHECK(CALL(pthread_detach, thread) == 0);
}
static void DetachSelf(Function function) {
  CHECK(CALL(pthread_detach, pthread_self()) == 0);
  CHECK(CALL(pthread_detach, pthread_self()) == EINVAL);
}
static void Exit(Function function) {
  CALL_VOID(pthread_exit, (void*)FIRST_OP_RESULT);
}
static void Cancel(Function function) {
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, WaitForever, NULL) == 0);
  CHECK(CALL(pthread_cancel, thread) == 0);
  CHECK(pthread_join(thread, &result) == 0);
  CHECK(result == PTHREAD_CANCELED);
}
static void TestCancel(Function function) {
  CALL_VOID(pthread_testcancel);
}
static void SetCancelState(Function function) {
  int old = -1;
  CHECK(CALL(pthread_setcancelstate, PTHREAD_CANCEL_DISABLE, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_ENABLE);
  CHECK(CALL(pthread_setcancelstate, old, NULL) == 0);
  CHECK(CALL(pthread_setcancelstate, 77, NULL) == EINVAL);
}
static void SetCancelType(Function function) {
  int old = -1;
  CHECK(CALL(pthread_setcanceltype, PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_DEFERRED);
  CHECK(CALL(pthread_setcanceltype, old, NULL) == 0);
  CHECK(CALL(pthread_setcanceltype, 77, NULL) == EINVAL);
}
static void Self(Function function) {
  CHECK(CALL_SIGN(pthread_self) == CALL_SIGN(pthread_self));
  CHECK(pthread_equal(CALL_SIGN(pthread_self), pthread_self()));
}
static void Equal(Function function) {
  CHECK(CALL(pthread_equal, pthread_self(), pthread_self()));
  CHECK(!CALL(pthread_equal, pthread_self(), 0));
}
static void Kill(Function function) {
  CHECK(CALL(pthread_kill, pthread_self(), 0) == 0);
  CHECK(CALL(pthread_kill, pthread_self(), SIGWINCH) == 0);
  CHECK(CALL(pthread_kill, pthread_self(), 1000) == EINVAL);
}
static void SigQueue(Function function) {
  const union sigval value = {.sival_int = 1};
  CHECK(CALL(pthread_sigqueue, pthread_self(), SIGWINCH, value) == 0);
}
static void GetAttr(Function function) {
  pthread_attr_t attr;
  CHECK(CALL(pthread_getattr_np, pthread_self(), &attr) == 0);
  void* base = NULL;
  size_t size = 0;
  CHECK(pthread_attr_getstack(&attr, &base, &size) == 0);
  CHECK((char*)&attr > (char*)base && (char*)&attr < (char*)base + size);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void GetDefaultAttr(Function function) {
  pthread_attr_t attr;
  CHECK(CALL(pthread_getattr_default_np, &attr) == 0);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void SetDefaultAttr(Function function) {
  pthread_attr_t attr;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(pthread_attr_setstacksize(&attr, 256 * 1024) == 0);
  CHECK(CALL(pthread_setattr_default_np, &attr) == 0);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void SetName(Function function) {
  char name[16] = "";
  CHECK(CALL(pthread_setname_np, pthread_self(), "first") == 0);
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "first") == 0);
}
static void Prctl(Function function) {
  char name[16];
  CHECK(CALL(prctl, PR_SET_NAME, "named") == 0);
  CHECK(CALL(prctl, PR_GET_NAME, name) == 0);
  CHECK(strcmp(name, "named") == 0);
  CHECK(CALL(prctl, -1) == -1 && errno == EINVAL);
}
static void PrctlOther(Function function) {  // as libcap's constructor
  CHECK(CALL(prctl, PR_CAPBSET_READ, 0UL) >= 0);
}
static void GetName(Function function) {
  char name[16] = "";
  CHECK(CALL(pthread_getname_np, pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "first_op") == 0);
}
static void GetSchedParam(Function function) {
  int policy = -1;
  struct sched_param param = {.sched_priority = -1};
  CHECK(CALL(pthread_getschedparam, pthread_self(), &policy, &param) == 0);
  CHECK(policy == SCHED_OTHER && param.sched_priority == 0);
}
static void SetSchedParam(Function function) {
  const struct sched_param param = {.sched_priority = 0};
  CHECK(CALL(pthread_setschedparam, pthread_self(), SCHED_OTHER, &param) == 0);
}
static void SetSchedPrio(Function function) {
  CHECK(CALL(pthread_setschedprio, pthread_self(), 0) == 0);
}
static void GetAffinity(Function function) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK(CALL(pthread_getaffinity_np, pthread_self(), sizeof set, &set) == 0);
  CHECK(CPU_COUNT(&set) > 0);
}
static void SetAffinity(Function function) {
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(CALL(pthread_setaffinity_np, pthread_self(), sizeof set, &set) == 0);
}
static void SchedGetAffinity(Function function) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK(CALL(sched_getaffinity, 0, sizeof set, &set) == 0);
  CHECK(CPU_COUNT(&set) > 0);
}
static void SchedSetAffinity(Function function) {
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(CALL(sched_setaffinity, 0, sizeof set, &set) == 0);
}
static void SetScheduler(Function function) {
  const struct sched_param param = {0};
  CHECK(CALL(sched_setscheduler, 0, SCHED_OTHER, &param) == 0);
}
static void GetScheduler(Function function) {
  CHECK(CALL(sched_getscheduler, 0) == SCHED_OTHER);
}
static void SetParam(Function function) {
  const struct sched_param param = {0};
  CHECK(CALL(sched_setparam, 0, &param) == 0);
}
static void GetParam(Function function) {
  struct sched_param param = {1};
  CHECK(CALL(sched_getparam, 0, &param) == 0 && param.sched_priority == 0);
}
static void GetCpuClock(Function function) {
  clockid_t clock;
  struct timespec time;
  CHECK(CALL(pthread_getcpuclockid, pthread_self(), &clock) == 0);
  CHECK(clock_gettime(clock, &time) == 0);
}
static void ClockGetTime(Function function) {
  struct timespec time = {-1, -1};
  CHECK(CALL(clock_gettime, CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  CHECK(time.tv_sec >= 0 && time.tv_nsec >= 0);
}
static void ClockGetRes(Function function) {
  struct timespec resolution = {0, 0};
  CHECK(CALL(clock_getres, CLOCK_THREAD_CPUTIME_ID, &resolution) == 0);
  CHECK(resolution.tv_nsec > 0);
}
static void GetRUsage(Function function) {
  struct rusage usage;
  CHECK(CALL(getrusage, RUSAGE_THREAD, &usage) == 0);
}
static void TimerCreate(Function function) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  CHECK(CALL(timer_create, CLOCK_MONOTONIC, &event, &timer) == 0);
  CHECK(timer_delete(timer) == 0);
}
static void SetConcurrency(Function function) {
  CHECK(CALL(pthread_setconcurrency, 2) == 0);
  CHECK(pthread_getconcurrency() == 2);
}
static void GetConcurrency(Function function) {
  CHECK(CALL(pthread_getconcurrency) == 0);
}
static void Nothing(void) {}
static void Atfork(Function function) {
  CHECK(CALL(pthread_atfork, Nothing, Nothing, Nothing) == 0);
}
static void Yield(Function function) {
  CHECK(CALL(sched_yield) == 0);
}
static const struct Case kCases[] = {
    DECLARED(pthread_create, Create),
    DECLARED(pthread_join, Join),
    DECLARED(pthread_tryjoin_np, TryJoin),
    DECLARED(pthread_timedjoin_np, TimedJoin),
    DECLARED(pthread_clockjoin_np, ClockJoin),
    DECLARED(pthread_detach, Detach),
    {"pthread_detach:self", DetachSelf, (Function)pthread_detach},
    DECLARED(pthread_exit, Exit),
    DECLARED(pthread_cancel, Cancel),
    DECLARED(pthread_testcancel, TestCancel),
    DECLARED(pthread_setcancelstate, SetCancelState),
    DECLARED(pthread_setcanceltype, SetCancelType),
    DECLARED(pthread_self, Self),
    DECLARED(pthread_equal, Equal),
    DECLARED(pthread_kill, Kill),
    DECLARED(pthread_sigqueue, SigQueue),
    DECLARED(pthread_getattr_np, GetAttr),
    DECLARED(pthread_getattr_default_np, GetDefaultAttr),
    DECLARED(pthread_setattr_default_np, SetDefaultAttr),
    DECLARED(pthread_setname_np, SetName),
    DECLARED(pthread_getname_np, GetName),
    DECLARED(prctl, Prctl),
    {"prctl:other", PrctlOther, (Function)prctl},
    DECLARED(pthread_getschedparam, GetSchedParam),
    DECLARED(pthread_setschedparam, SetSchedParam),
    DECLARED(pthread_setschedprio, SetSchedPrio),
    DECLARED(pthread_getaffinity_np, GetAffinity),
    DECLARED(pthread_setaffinity_np, SetAffinity),
    DECLARED(sched_getaffinity, SchedGetAffinity),
    DECLARED(sched_setaffinity, SchedSetAffinity),
    DECLARED(sched_setscheduler, SetScheduler),
    DECLARED(sched_getscheduler, GetScheduler),
    DECLARED(sched_setparam, SetParam),
    DECLARED(sched_getparam, GetParam),
    DECLARED(pthread_getcpuclockid, GetCpuClock),
    DECLARED(clock_gettime, ClockGetTime),
    DECLARED(clock_getres, ClockGetRes),
    DECLARED(getrusage, GetRUsage),
    DECLARED(timer_create, TimerCreate),
    DECLARED(pthread_setconcurrency, SetConcurrency),
    DECLARED(pthread_getconcurrency, GetConcurrency),
    DECLARED(pthread_atfork, Atfork),
    DECLARED(sched_yield, Yield),
    BY_NAME(__sched_yield, Yield),
    BY_NAME(pthread_yield, Yield),
};

const struct Family kThreadFamily = FAMILY(kCases);
