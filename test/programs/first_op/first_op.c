// SPDX-License-Identifier: Apache-2.0
// Calls one function of the pthread API as the first thing that the program, a thread or a library's
// constructor does, checks what it did, then sees that threads still work.
// usage: first_op main NAME | first_op thread NAME | first_op list
//        FIRST_OP=NAME first_op ctor NAME    the constructor is in first_op_ctor.so
// Exit status 0: all was as it should be. run.py runs every case, natively and under libmn.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "first_op.h"

typedef void (*Function)(void);

struct Case {
  const char* name;
  void (*body)(Function function);
  Function function;  // NULL: declared in no header, so looked up by name.
};

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      dprintf(STDERR_FILENO, "first_op: line %d: %s\n", __LINE__, #condition); \
      _exit(1);                                                                \
    }                                                                          \
  } while (0)

// The function under test, with the type of the one that the headers declare.
#define AS(declared) ((__typeof__(&declared))function)

static struct timespec In(clockid_t clock, long seconds) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += seconds;
  return time;
}

static void* Echo(void* argument) {
  return argument;
}
static int EchoInt(void* argument) {
  return (int)(long)argument;
}

static void* WaitForever(void* argument) {
  for (;;) pause();
  return argument;
}

static int WaitForStatus(pid_t child) {
  int status = -1;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  return status;
}

// Threads

static void Create(Function function) {
  pthread_t thread;
  void* result = NULL;
  CHECK(AS(pthread_create)(&thread, NULL, Echo, (void*)3) == 0);
  CHECK(pthread_join(thread, &result) == 0);
  CHECK(result == (void*)3);
}
static void Join(Function function) {
  CHECK(AS(pthread_join)(pthread_self(), NULL) == EDEADLK);
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, Echo, (void*)4) == 0);
  CHECK(AS(pthread_join)(thread, &result) == 0);
  CHECK(result == (void*)4);
}
static void TryJoin(Function function) {
  CHECK(AS(pthread_tryjoin_np)(pthread_self(), NULL) == EBUSY);
}
static void TimedJoin(Function function) {
  const struct timespec later = In(CLOCK_REALTIME, 10);
  CHECK(AS(pthread_timedjoin_np)(pthread_self(), NULL, &later) == EDEADLK);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, Echo, NULL) == 0);
  CHECK(AS(pthread_timedjoin_np)(thread, NULL, &later) == 0);
}
static void ClockJoin(Function function) {
  const struct timespec later = In(CLOCK_MONOTONIC, 10);
  CHECK(AS(pthread_clockjoin_np)(pthread_self(), NULL, CLOCK_MONOTONIC, &later) == EDEADLK);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, Echo, NULL) == 0);
  CHECK(AS(pthread_clockjoin_np)(thread, NULL, CLOCK_MONOTONIC, &later) == 0);
}
static void Detach(Function function) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, Echo, NULL) == 0);
  CHECK(AS(pthread_detach)(thread) == 0);
}
static void DetachSelf(Function function) {
  CHECK(AS(pthread_detach)(pthread_self()) == 0);
  CHECK(AS(pthread_detach)(pthread_self()) == EINVAL);
}
static void Exit(Function function) {
  AS(pthread_exit)((void*)FIRST_OP_RESULT);
}
static void Cancel(Function function) {
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, WaitForever, NULL) == 0);
  CHECK(AS(pthread_cancel)(thread) == 0);
  CHECK(pthread_join(thread, &result) == 0);
  CHECK(result == PTHREAD_CANCELED);
}
static void TestCancel(Function function) {
  AS(pthread_testcancel)();
}
static void SetCancelState(Function function) {
  int old = -1;
  CHECK(AS(pthread_setcancelstate)(PTHREAD_CANCEL_DISABLE, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_ENABLE);
  CHECK(AS(pthread_setcancelstate)(old, NULL) == 0);
  CHECK(AS(pthread_setcancelstate)(77, NULL) == EINVAL);
}
static void SetCancelType(Function function) {
  int old = -1;
  CHECK(AS(pthread_setcanceltype)(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0);
  CHECK(old == PTHREAD_CANCEL_DEFERRED);
  CHECK(AS(pthread_setcanceltype)(old, NULL) == 0);
  CHECK(AS(pthread_setcanceltype)(77, NULL) == EINVAL);
}
static void Self(Function function) {
  CHECK(AS(pthread_self)() == AS(pthread_self)());
  CHECK(pthread_equal(AS(pthread_self)(), pthread_self()));
}
static void Equal(Function function) {
  CHECK(AS(pthread_equal)(pthread_self(), pthread_self()));
  CHECK(!AS(pthread_equal)(pthread_self(), 0));
}
static void Kill(Function function) {
  CHECK(AS(pthread_kill)(pthread_self(), 0) == 0);
  CHECK(AS(pthread_kill)(pthread_self(), SIGWINCH) == 0);
  CHECK(AS(pthread_kill)(pthread_self(), 1000) == EINVAL);
}
static void SigQueue(Function function) {
  const union sigval value = {.sival_int = 1};
  CHECK(AS(pthread_sigqueue)(pthread_self(), SIGWINCH, value) == 0);
}
static void GetAttr(Function function) {
  pthread_attr_t attr;
  CHECK(AS(pthread_getattr_np)(pthread_self(), &attr) == 0);
  void* base = NULL;
  size_t size = 0;
  CHECK(pthread_attr_getstack(&attr, &base, &size) == 0);
  CHECK((char*)&attr > (char*)base && (char*)&attr < (char*)base + size);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void GetDefaultAttr(Function function) {
  pthread_attr_t attr;
  CHECK(AS(pthread_getattr_default_np)(&attr) == 0);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void SetDefaultAttr(Function function) {
  pthread_attr_t attr;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(pthread_attr_setstacksize(&attr, 256 * 1024) == 0);
  CHECK(AS(pthread_setattr_default_np)(&attr) == 0);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void SetName(Function function) {
  char name[16] = "";
  CHECK(AS(pthread_setname_np)(pthread_self(), "first") == 0);
  CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "first") == 0);
}
static void GetName(Function function) {
  char name[16] = "";
  CHECK(AS(pthread_getname_np)(pthread_self(), name, sizeof name) == 0);
  CHECK(strcmp(name, "first_op") == 0);
}
static void GetSchedParam(Function function) {
  int policy = -1;
  struct sched_param param = {.sched_priority = -1};
  CHECK(AS(pthread_getschedparam)(pthread_self(), &policy, &param) == 0);
  CHECK(policy == SCHED_OTHER && param.sched_priority == 0);
}
static void SetSchedParam(Function function) {
  const struct sched_param param = {.sched_priority = 0};
  CHECK(AS(pthread_setschedparam)(pthread_self(), SCHED_OTHER, &param) == 0);
}
static void SetSchedPrio(Function function) {
  CHECK(AS(pthread_setschedprio)(pthread_self(), 0) == 0);
}
static void GetAffinity(Function function) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK(AS(pthread_getaffinity_np)(pthread_self(), sizeof set, &set) == 0);
  CHECK(CPU_COUNT(&set) > 0);
}
static void SetAffinity(Function function) {
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(AS(pthread_setaffinity_np)(pthread_self(), sizeof set, &set) == 0);
}
static void SchedGetAffinity(Function function) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK(AS(sched_getaffinity)(0, sizeof set, &set) == 0);
  CHECK(CPU_COUNT(&set) > 0);
}
static void SchedSetAffinity(Function function) {
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(AS(sched_setaffinity)(0, sizeof set, &set) == 0);
}
static void GetCpuClock(Function function) {
  clockid_t clock;
  struct timespec time;
  const int error = AS(pthread_getcpuclockid)(pthread_self(), &clock);
  if (error == ENOENT) return; /* POSIX: there are no CPU clocks (test/gaps.txt) */
  CHECK(error == 0);
  CHECK(clock_gettime(clock, &time) == 0);
}
static void SetConcurrency(Function function) {
  CHECK(AS(pthread_setconcurrency)(2) == 0);
  CHECK(pthread_getconcurrency() == 2);
}
static void GetConcurrency(Function function) {
  CHECK(AS(pthread_getconcurrency)() == 0);
}
static void Nothing(void) {}
static void Atfork(Function function) {
  CHECK(AS(pthread_atfork)(Nothing, Nothing, Nothing) == 0);
}
static void Yield(Function function) {
  CHECK(AS(sched_yield)() == 0);
}

// Attributes

static void AttrInit(Function function) {
  pthread_attr_t attr;
  CHECK(AS(pthread_attr_init)(&attr) == 0);
  CHECK(pthread_attr_destroy(&attr) == 0);
}
static void AttrDestroy(Function function) {
  pthread_attr_t attr;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(AS(pthread_attr_destroy)(&attr) == 0);
}
static void AttrSetStackSize(Function function) {
  pthread_attr_t attr;
  size_t size = 0;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(AS(pthread_attr_setstacksize)(&attr, 1 << 20) == 0);
  CHECK(pthread_attr_getstacksize(&attr, &size) == 0 && size == 1 << 20);
}
static void AttrGetStackSize(Function function) {
  pthread_attr_t attr;
  size_t size = 0;
  CHECK(pthread_attr_init(&attr) == 0);
  CHECK(AS(pthread_attr_getstacksize)(&attr, &size) == 0 && size > 0);
}

// Once and thread-specific data

static int once_runs;
static void CountRun(void) {
  ++once_runs;
}
static void Once(Function function) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  CHECK(AS(pthread_once)(&once, CountRun) == 0);
  CHECK(AS(pthread_once)(&once, CountRun) == 0);
  CHECK(once_runs == 1);
}
static void CallOnce(Function function) {
  static once_flag flag = ONCE_FLAG_INIT;
  AS(call_once)(&flag, CountRun);
  AS(call_once)(&flag, CountRun);
  CHECK(once_runs == 1);
}
static void KeyCreate(Function function) {
  pthread_key_t key;
  CHECK(AS(pthread_key_create)(&key, NULL) == 0);
  CHECK(pthread_getspecific(key) == NULL);
  CHECK(pthread_setspecific(key, &key) == 0);
  CHECK(pthread_getspecific(key) == &key);
  CHECK(pthread_key_delete(key) == 0);
}
static void KeyDelete(Function function) {
  CHECK(AS(pthread_key_delete)(1000) == EINVAL);
  pthread_key_t key;
  CHECK(pthread_key_create(&key, NULL) == 0);
  CHECK(AS(pthread_key_delete)(key) == 0);
}
static void SetSpecific(Function function) {
  CHECK(AS(pthread_setspecific)(1000, &once_runs) == EINVAL);
  pthread_key_t key;
  CHECK(pthread_key_create(&key, NULL) == 0);
  CHECK(AS(pthread_setspecific)(key, &key) == 0);
  CHECK(pthread_getspecific(key) == &key);
}
static void GetSpecific(Function function) {
  CHECK(AS(pthread_getspecific)(1000) == NULL);
  pthread_key_t key;
  CHECK(pthread_key_create(&key, NULL) == 0);
  CHECK(pthread_setspecific(key, &key) == 0);
  CHECK(AS(pthread_getspecific)(key) == &key);
}
static void TssCreate(Function function) {
  tss_t key;
  CHECK(AS(tss_create)(&key, NULL) == thrd_success);
  CHECK(tss_set(key, &key) == thrd_success);
  CHECK(tss_get(key) == &key);
}
static void TssDelete(Function function) {
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success);
  AS(tss_delete)(key);
}
static void TssSet(Function function) {
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success);
  CHECK(AS(tss_set)(key, &key) == thrd_success);
  CHECK(tss_get(key) == &key);
}
static void TssGet(Function function) {
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success);
  CHECK(AS(tss_get)(key) == NULL);
}

// Mutexes

static void MutexInit(Function function) {
  pthread_mutex_t mutex;
  CHECK(AS(pthread_mutex_init)(&mutex, NULL) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void MutexDestroy(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(AS(pthread_mutex_destroy)(&mutex) == 0);
}
static void MutexLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(AS(pthread_mutex_lock)(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void MutexTryLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(AS(pthread_mutex_trylock)(&mutex) == 0);
  CHECK(AS(pthread_mutex_trylock)(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void MutexTimedLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct timespec time = In(CLOCK_REALTIME, 10);
  CHECK(AS(pthread_mutex_timedlock)(&mutex, &time) == 0);
  time = In(CLOCK_REALTIME, -1);
  CHECK(AS(pthread_mutex_timedlock)(&mutex, &time) == ETIMEDOUT);
}
static void MutexClockLock(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct timespec time = In(CLOCK_MONOTONIC, 10);
  CHECK(AS(pthread_mutex_clocklock)(&mutex, CLOCK_MONOTONIC, &time) == 0);
  time = In(CLOCK_MONOTONIC, -1);
  CHECK(AS(pthread_mutex_clocklock)(&mutex, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
}
static void MutexUnlock(Function function) {
  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  CHECK(AS(pthread_mutex_unlock)(&mutex) == EPERM);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(AS(pthread_mutex_unlock)(&mutex) == 0);
}
static void MutexConsistent(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(AS(pthread_mutex_consistent)(&mutex) == EINVAL);
}
static void MutexGetPrioCeiling(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int ceiling;
  CHECK(AS(pthread_mutex_getprioceiling)(&mutex, &ceiling) == EINVAL);
}
static void MutexSetPrioCeiling(Function function) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int ceiling;
  CHECK(AS(pthread_mutex_setprioceiling)(&mutex, 1, &ceiling) == EINVAL);
}

// Condition variables

static void CondInit(Function function) {
  pthread_cond_t cond;
  CHECK(AS(pthread_cond_init)(&cond, NULL) == 0);
  CHECK(pthread_cond_signal(&cond) == 0);
}
static void CondDestroy(Function function) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  CHECK(AS(pthread_cond_destroy)(&cond) == 0);
}
static void CondSignal(Function function) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  CHECK(AS(pthread_cond_signal)(&cond) == 0);
}
static void CondBroadcast(Function function) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  CHECK(AS(pthread_cond_broadcast)(&cond) == 0);
}
struct Handover {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int ready;
};
static void* HandOver(void* argument) {
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
  CHECK(AS(pthread_cond_wait)(&unused, &check) == EPERM);
  struct Handover handover = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pthread_t thread;
  pthread_mutex_lock(&handover.mutex);
  CHECK(pthread_create(&thread, NULL, HandOver, &handover) == 0);
  while (!handover.ready) CHECK(AS(pthread_cond_wait)(&handover.cond, &handover.mutex) == 0);
  pthread_mutex_unlock(&handover.mutex);
  CHECK(pthread_join(thread, NULL) == 0);
}
static void CondTimedWait(Function function) {
  pthread_mutex_t check = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  const struct timespec past = In(CLOCK_REALTIME, -1);
  CHECK(AS(pthread_cond_timedwait)(&cond, &check, &past) == EPERM);
  pthread_mutex_lock(&check);
  CHECK(AS(pthread_cond_timedwait)(&cond, &check, &past) == ETIMEDOUT);
  pthread_mutex_unlock(&check);
}
static void CondClockWait(Function function) {
  pthread_mutex_t check = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  const struct timespec past = In(CLOCK_MONOTONIC, -1);
  CHECK(AS(pthread_cond_clockwait)(&cond, &check, CLOCK_MONOTONIC, &past) == EPERM);
  pthread_mutex_lock(&check);
  CHECK(AS(pthread_cond_clockwait)(&cond, &check, CLOCK_MONOTONIC, &past) == ETIMEDOUT);
  pthread_mutex_unlock(&check);
}

// Reader-writer locks

static void RwlockInit(Function function) {
  pthread_rwlock_t lock;
  CHECK(AS(pthread_rwlock_init)(&lock, NULL) == 0);
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockDestroy(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(AS(pthread_rwlock_destroy)(&lock) == 0);
}
static void RwlockRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(AS(pthread_rwlock_rdlock)(&lock) == 0);
  CHECK(AS(pthread_rwlock_rdlock)(&lock) == 0);
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(AS(pthread_rwlock_wrlock)(&lock) == 0);
  CHECK(AS(pthread_rwlock_wrlock)(&lock) == EDEADLK);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTryRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(AS(pthread_rwlock_tryrdlock)(&lock) == 0);
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTryWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(AS(pthread_rwlock_trywrlock)(&lock) == 0);
  CHECK(pthread_rwlock_tryrdlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTimedRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_REALTIME, 10);
  CHECK(AS(pthread_rwlock_timedrdlock)(&lock, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockTimedWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_REALTIME, 10);
  CHECK(AS(pthread_rwlock_timedwrlock)(&lock, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockClockRead(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_MONOTONIC, 10);
  CHECK(AS(pthread_rwlock_clockrdlock)(&lock, CLOCK_MONOTONIC, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockClockWrite(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const struct timespec later = In(CLOCK_MONOTONIC, 10);
  CHECK(AS(pthread_rwlock_clockwrlock)(&lock, CLOCK_MONOTONIC, &later) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
}
static void RwlockUnlock(Function function) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(pthread_rwlock_wrlock(&lock) == 0);
  CHECK(AS(pthread_rwlock_unlock)(&lock) == 0);
  CHECK(pthread_rwlock_trywrlock(&lock) == 0);
}

// Barriers and spin locks

static void BarrierInit(Function function) {
  pthread_barrier_t barrier;
  CHECK(AS(pthread_barrier_init)(&barrier, NULL, 0) == EINVAL);
  CHECK(AS(pthread_barrier_init)(&barrier, NULL, 1) == 0);
  CHECK(pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
}
static void BarrierDestroy(Function function) {
  pthread_barrier_t barrier;
  CHECK(pthread_barrier_init(&barrier, NULL, 1) == 0);
  CHECK(AS(pthread_barrier_destroy)(&barrier) == 0);
}
static void BarrierWait(Function function) {
  pthread_barrier_t barrier;
  CHECK(pthread_barrier_init(&barrier, NULL, 1) == 0);
  CHECK(AS(pthread_barrier_wait)(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD);
}
static void SpinInit(Function function) {
  pthread_spinlock_t lock;
  CHECK(AS(pthread_spin_init)(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(pthread_spin_lock(&lock) == 0);
  CHECK(pthread_spin_unlock(&lock) == 0);
}
static void SpinDestroy(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(AS(pthread_spin_destroy)(&lock) == 0);
}
static void SpinLock(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(AS(pthread_spin_lock)(&lock) == 0);
  CHECK(pthread_spin_trylock(&lock) == EBUSY);
}
static void SpinTryLock(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(AS(pthread_spin_trylock)(&lock) == 0);
  CHECK(AS(pthread_spin_trylock)(&lock) == EBUSY);
}
static void SpinUnlock(Function function) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(pthread_spin_lock(&lock) == 0);
  CHECK(AS(pthread_spin_unlock)(&lock) == 0);
  CHECK(pthread_spin_trylock(&lock) == 0);
}

// Semaphores

static void SemInit(Function function) {
  sem_t sem;
  CHECK(AS(sem_init)(&sem, 0, 1) == 0);
  CHECK(sem_wait(&sem) == 0);
}
static void SemDestroy(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(AS(sem_destroy)(&sem) == 0);
}
static void SemWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(AS(sem_wait)(&sem) == 0);
  CHECK(sem_trywait(&sem) == -1 && errno == EAGAIN);
}
static void SemTryWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(AS(sem_trywait)(&sem) == 0);
  CHECK(AS(sem_trywait)(&sem) == -1 && errno == EAGAIN);
}
static void SemTimedWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  struct timespec time = In(CLOCK_REALTIME, 10);
  CHECK(AS(sem_timedwait)(&sem, &time) == 0);
  time = In(CLOCK_REALTIME, -1);
  CHECK(AS(sem_timedwait)(&sem, &time) == -1 && errno == ETIMEDOUT);
}
static void SemClockWait(Function function) {
  sem_t sem;
  CHECK(sem_init(&sem, 0, 1) == 0);
  struct timespec time = In(CLOCK_MONOTONIC, 10);
  CHECK(AS(sem_clockwait)(&sem, CLOCK_MONOTONIC, &time) == 0);
  time = In(CLOCK_MONOTONIC, -1);
  CHECK(AS(sem_clockwait)(&sem, CLOCK_MONOTONIC, &time) == -1 && errno == ETIMEDOUT);
}
static void SemPost(Function function) {
  sem_t sem;
  int value = -1;
  CHECK(sem_init(&sem, 0, 1) == 0);
  CHECK(AS(sem_post)(&sem) == 0);
  CHECK(sem_getvalue(&sem, &value) == 0 && value == 2);
}
static void SemGetValue(Function function) {
  sem_t sem;
  int value = -1;
  CHECK(sem_init(&sem, 0, 5) == 0);
  CHECK(AS(sem_getvalue)(&sem, &value) == 0 && value == 5);
}
static void SemOpen(Function function) {
  char name[64];
  snprintf(name, sizeof name, "/first_op.%d", getpid());
  sem_t* sem = AS(sem_open)(name, O_CREAT | O_EXCL, 0600, 1);
  CHECK(sem != SEM_FAILED);
  CHECK(sem_unlink(name) == 0);
  CHECK(sem_wait(sem) == 0);
  CHECK(sem_close(sem) == 0);
}

// C11 threads

static void ThrdCreate(Function function) {
  thrd_t thread;
  int result = 0;
  CHECK(AS(thrd_create)(&thread, EchoInt, (void*)6) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 6);
}
static void ThrdJoin(Function function) {
  thrd_t thread;
  int result = 0;
  CHECK(thrd_create(&thread, EchoInt, (void*)6) == thrd_success);
  CHECK(AS(thrd_join)(thread, &result) == thrd_success && result == 6);
}
static void ThrdDetach(Function function) {
  thrd_t thread;
  CHECK(thrd_create(&thread, EchoInt, NULL) == thrd_success);
  CHECK(AS(thrd_detach)(thread) == thrd_success);
}
static void ThrdExit(Function function) {
  AS(thrd_exit)(FIRST_OP_RESULT);
}
static void ThrdCurrent(Function function) {
  CHECK(thrd_equal(AS(thrd_current)(), thrd_current()));
}
static void ThrdEqual(Function function) {
  CHECK(AS(thrd_equal)(thrd_current(), thrd_current()));
}
static void ThrdSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(AS(thrd_sleep)(&time, NULL) == 0);
}
static void ThrdYield(Function function) {
  AS(thrd_yield)();
}
static void MtxInit(Function function) {
  mtx_t mutex;
  CHECK(AS(mtx_init)(&mutex, mtx_recursive) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
}
static void MtxDestroy(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  AS(mtx_destroy)(&mutex);
}
static void MtxLock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(AS(mtx_lock)(&mutex) == thrd_success);
  CHECK(mtx_trylock(&mutex) == thrd_busy);
}
static void MtxTryLock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(AS(mtx_trylock)(&mutex) == thrd_success);
  CHECK(AS(mtx_trylock)(&mutex) == thrd_busy);
}
static void MtxTimedLock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_timed) == thrd_success);
  struct timespec time = In(CLOCK_REALTIME, 10);
  CHECK(AS(mtx_timedlock)(&mutex, &time) == thrd_success);
  time = In(CLOCK_REALTIME, -1);
  CHECK(AS(mtx_timedlock)(&mutex, &time) == thrd_timedout);
}
static void MtxUnlock(Function function) {
  mtx_t mutex;
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  CHECK(AS(mtx_unlock)(&mutex) == thrd_success);
  CHECK(mtx_trylock(&mutex) == thrd_success);
}
static void CndInit(Function function) {
  cnd_t cond;
  CHECK(AS(cnd_init)(&cond) == thrd_success);
  CHECK(cnd_signal(&cond) == thrd_success);
}
static void CndDestroy(Function function) {
  cnd_t cond;
  CHECK(cnd_init(&cond) == thrd_success);
  AS(cnd_destroy)(&cond);
}
static void CndSignal(Function function) {
  cnd_t cond;
  CHECK(cnd_init(&cond) == thrd_success);
  CHECK(AS(cnd_signal)(&cond) == thrd_success);
}
static void CndBroadcast(Function function) {
  cnd_t cond;
  CHECK(cnd_init(&cond) == thrd_success);
  CHECK(AS(cnd_broadcast)(&cond) == thrd_success);
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
  struct C11Handover handover = {.ready = 0};
  CHECK(mtx_init(&handover.mutex, mtx_plain) == thrd_success);
  CHECK(cnd_init(&handover.cond) == thrd_success);
  thrd_t thread;
  mtx_lock(&handover.mutex);
  CHECK(thrd_create(&thread, HandOverC11, &handover) == thrd_success);
  while (!handover.ready) CHECK(AS(cnd_wait)(&handover.cond, &handover.mutex) == thrd_success);
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
  CHECK(AS(cnd_timedwait)(&cond, &mutex, &past) == thrd_timedout);
  CHECK(mtx_unlock(&mutex) == thrd_success);
}

// Sleep

static void NanoSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(AS(nanosleep)(&time, NULL) == 0);
  const struct timespec bad = {0, -1};
  CHECK(AS(nanosleep)(&bad, NULL) == -1 && errno == EINVAL);
}
static void ClockNanoSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(AS(clock_nanosleep)(CLOCK_MONOTONIC, 0, &time, NULL) == 0);
  CHECK(AS(clock_nanosleep)(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == 0);
  CHECK(AS(clock_nanosleep)(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL) == EINVAL);
}
static void USleep(Function function) {
  CHECK(AS(usleep)(10) == 0);
}
static void Sleep(Function function) {
  CHECK(AS(sleep)(0) == 0);
}

// Processes

static void Fork(Function function) {
  const pid_t child = AS(fork)();
  CHECK(child != -1);
  if (child == 0) _exit(5);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
static void ForkAndUseThreads(Function function) {
  const pid_t child = AS(fork)();
  CHECK(child != -1);
  if (child == 0) {
    pthread_t thread;
    void* result = NULL;
    if (pthread_create(&thread, NULL, Echo, (void*)8) != 0) _exit(1);
    if (pthread_join(thread, &result) != 0) _exit(2);
    _exit((int)(long)result);
  }
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 8);
}
static void Vfork(Function function) {
  const pid_t child = AS(vfork)();
  if (child == 0) _exit(5);
  CHECK(child != -1);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
static int CloneChild(void* argument) {
  return *(int*)argument;
}
static void Clone(Function function) {
  static char stack[256 * 1024] __attribute__((aligned(16)));
  int code = 6;
  const pid_t child = AS(clone)(CloneChild, stack + sizeof stack, SIGCHLD, &code);
  CHECK(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
}
static void Syscall(Function function) {
  CHECK(AS(syscall)(SYS_getpid) == getpid());
  CHECK(AS(syscall)(SYS_close, -1) == -1 && errno == EBADF);
}
static void SyscallFutex(Function function) {
  const int word = 0;
  const struct timespec soon = {0, 1000000};
  CHECK(AS(syscall)(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
  CHECK(AS(syscall)(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0) == -1 && errno == ETIMEDOUT);
  CHECK(AS(syscall)(SYS_futex, NULL, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
  CHECK(AS(syscall)(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
  CHECK(AS(syscall)(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
}
static void SyscallSignals(Function function) {
  unsigned long set = 0;
  CHECK(AS(syscall)(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, sizeof set) == 0);
  CHECK(AS(syscall)(SYS_rt_sigaction, 0, NULL, NULL, sizeof set) == -1 && errno == EINVAL);
  CHECK(AS(syscall)(SYS_sigaltstack, NULL, NULL) == 0);
}
static void SyscallSleep(Function function) {
  const struct timespec time = {0, 1000};
  CHECK(AS(syscall)(SYS_nanosleep, &time, NULL) == 0);
  CHECK(AS(syscall)(SYS_sched_yield) == 0);
}
static void SyscallFork(Function function) {
  const pid_t child = (pid_t)AS(syscall)(SYS_fork);
  if (child == 0) _exit(7);
  CHECK(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void ExitNow(Function function) {
  AS(_exit)(0);
}
static void ExitProcess(Function function) {
  AS(exit)(0);
}

// Signals

static volatile sig_atomic_t handled;
static void Handle(int signal) {
  handled += signal;
}

static void SigMask(Function function) {
  sigset_t set;
  sigset_t old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(AS(pthread_sigmask)(SIG_BLOCK, &set, NULL) == 0);
  CHECK(AS(pthread_sigmask)(SIG_UNBLOCK, &set, &old) == 0);
  CHECK(sigismember(&old, SIGUSR1) == 1);
}
static void SigAction(Function function) {
  struct sigaction action = {.sa_handler = Handle};
  CHECK(AS(sigaction)(SIGUSR1, &action, NULL) == 0);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(handled == SIGUSR1);
  CHECK(AS(sigaction)(1000, &action, NULL) == -1 && errno == EINVAL);
}
static void Signal(Function function) {
  CHECK(AS(signal)(SIGUSR1, Handle) == SIG_DFL);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(handled == SIGUSR1);
}
static void SigSet(Function function) {
  CHECK(((__sighandler_t(*)(int, __sighandler_t))function)(SIGUSR1, Handle) == SIG_DFL);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(handled == SIGUSR1);
}
static void SigHold(Function function) {
  sigset_t set;
  CHECK(((int (*)(int))function)(SIGUSR1) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 1);
}
static void SigRelse(Function function) {
  sigset_t set;
  CHECK(((int (*)(int))function)(SIGUSR1) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 0);
}
static void SigIgnore(Function function) {
  CHECK(((int (*)(int))function)(SIGUSR1) == 0);
  CHECK(raise(SIGUSR1) == 0);
}
static void SigInterrupt(Function function) {
  CHECK(((int (*)(int, int))function)(SIGUSR1, 1) == 0);
}
static void SigBlock(Function function) {
  sigset_t set;
  CHECK(((int (*)(int))function)(1 << (SIGUSR1 - 1)) == 0);
  CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 1);
}
static void SigGetMask(Function function) {
  CHECK(((int (*)(void))function)() == 0);
}
static void SigAltStack(Function function) {
  static char memory[64 * 1024];
  const stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
  stack_t old;
  CHECK(AS(sigaltstack)(&stack, NULL) == 0);
  CHECK(AS(sigaltstack)(NULL, &old) == 0);
  CHECK(old.ss_sp == memory);
}
static void SigPending(Function function) {
  sigset_t set;
  CHECK(AS(sigpending)(&set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 0);
}
// Blocks SIGUSR1 and makes it pending for this thread.
static sigset_t MakePending(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(raise(SIGUSR1) == 0);
  return set;
}
static void SigSuspend(Function function) {
  MakePending();
  CHECK(signal(SIGUSR1, Handle) == SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  CHECK(AS(sigsuspend)(&none) == -1 && errno == EINTR);
  CHECK(handled == SIGUSR1);
}
static void SigWait(Function function) {
  const sigset_t set = MakePending();
  int signal = 0;
  CHECK(AS(sigwait)(&set, &signal) == 0 && signal == SIGUSR1);
}
static void SigWaitInfo(Function function) {
  const sigset_t set = MakePending();
  siginfo_t info;
  CHECK(AS(sigwaitinfo)(&set, &info) == SIGUSR1 && info.si_signo == SIGUSR1);
}
static void SigTimedWait(Function function) {
  const sigset_t set = MakePending();
  const struct timespec now = {0, 0};
  CHECK(AS(sigtimedwait)(&set, NULL, &now) == SIGUSR1);
  CHECK(AS(sigtimedwait)(&set, NULL, &now) == -1 && errno == EAGAIN);
}
static void Raise(Function function) {
  CHECK(AS(raise)(SIGWINCH) == 0);
}
static void KillProcess(Function function) {
  CHECK(AS(kill)(getpid(), SIGWINCH) == 0);
}

// Jumps

static void LongJump(Function function) {
  jmp_buf buffer;
  volatile int jumps = 0;
  if (setjmp(buffer) == 0) {
    ++jumps;
    ((void (*)(struct __jmp_buf_tag*, int))function)(buffer, 1);
    CHECK(0);
  }
  CHECK(jumps == 1);
}
static void SigLongJump(Function function) {
  sigjmp_buf buffer;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (sigsetjmp(buffer, 1) == 0) {
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    ((void (*)(struct __jmp_buf_tag*, int))function)(buffer, 1);
    CHECK(0);
  }
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &set) == 0);
  CHECK(sigismember(&set, SIGUSR1) == 0);
}

#define DECLARED(name, body) \
  { #name, body, (Function)name }
#define BY_NAME(name, body) \
  { #name, body, NULL }

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
    DECLARED(pthread_getschedparam, GetSchedParam),
    DECLARED(pthread_setschedparam, SetSchedParam),
    DECLARED(pthread_setschedprio, SetSchedPrio),
    DECLARED(pthread_getaffinity_np, GetAffinity),
    DECLARED(pthread_setaffinity_np, SetAffinity),
    DECLARED(sched_getaffinity, SchedGetAffinity),
    DECLARED(sched_setaffinity, SchedSetAffinity),
    DECLARED(pthread_getcpuclockid, GetCpuClock),
    DECLARED(pthread_setconcurrency, SetConcurrency),
    DECLARED(pthread_getconcurrency, GetConcurrency),
    DECLARED(pthread_atfork, Atfork),
    DECLARED(sched_yield, Yield),
    BY_NAME(__sched_yield, Yield),
    BY_NAME(pthread_yield, Yield),

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

    DECLARED(sem_init, SemInit),
    DECLARED(sem_destroy, SemDestroy),
    DECLARED(sem_wait, SemWait),
    DECLARED(sem_trywait, SemTryWait),
    DECLARED(sem_timedwait, SemTimedWait),
    DECLARED(sem_clockwait, SemClockWait),
    DECLARED(sem_post, SemPost),
    DECLARED(sem_getvalue, SemGetValue),
    DECLARED(sem_open, SemOpen),

    DECLARED(thrd_create, ThrdCreate),
    DECLARED(thrd_join, ThrdJoin),
    DECLARED(thrd_detach, ThrdDetach),
    DECLARED(thrd_exit, ThrdExit),
    DECLARED(thrd_current, ThrdCurrent),
    DECLARED(thrd_equal, ThrdEqual),
    DECLARED(thrd_sleep, ThrdSleep),
    DECLARED(thrd_yield, ThrdYield),
    DECLARED(mtx_init, MtxInit),
    DECLARED(mtx_destroy, MtxDestroy),
    DECLARED(mtx_lock, MtxLock),
    DECLARED(mtx_trylock, MtxTryLock),
    DECLARED(mtx_timedlock, MtxTimedLock),
    DECLARED(mtx_unlock, MtxUnlock),
    DECLARED(cnd_init, CndInit),
    DECLARED(cnd_destroy, CndDestroy),
    DECLARED(cnd_signal, CndSignal),
    DECLARED(cnd_broadcast, CndBroadcast),
    DECLARED(cnd_wait, CndWait),
    DECLARED(cnd_timedwait, CndTimedWait),

    DECLARED(nanosleep, NanoSleep),
    BY_NAME(__nanosleep, NanoSleep),
    DECLARED(clock_nanosleep, ClockNanoSleep),
    DECLARED(usleep, USleep),
    DECLARED(sleep, Sleep),

    DECLARED(fork, Fork),
    {"fork:threads", ForkAndUseThreads, (Function)fork},
    BY_NAME(__fork, ForkAndUseThreads),
    BY_NAME(__libc_fork, ForkAndUseThreads),
    DECLARED(_Fork, Fork),
    DECLARED(vfork, Vfork),
    BY_NAME(__vfork, Vfork),
    DECLARED(clone, Clone),
    BY_NAME(__clone, Clone),
    DECLARED(syscall, Syscall),
    {"syscall:futex", SyscallFutex, (Function)syscall},
    {"syscall:signals", SyscallSignals, (Function)syscall},
    {"syscall:sleep", SyscallSleep, (Function)syscall},
    {"syscall:fork", SyscallFork, (Function)syscall},
    DECLARED(_exit, ExitNow),
    DECLARED(_Exit, ExitNow),
    DECLARED(exit, ExitProcess),
    DECLARED(quick_exit, ExitProcess),

    DECLARED(pthread_sigmask, SigMask),
    DECLARED(sigprocmask, SigMask),
    DECLARED(sigaction, SigAction),
    BY_NAME(__sigaction, SigAction),
    BY_NAME(__libc_sigaction, SigAction),
    DECLARED(signal, Signal),
    DECLARED(ssignal, Signal),
    BY_NAME(bsd_signal, Signal),
    DECLARED(sysv_signal, Signal),
    BY_NAME(__sysv_signal, Signal),
    BY_NAME(sigset, SigSet),
    BY_NAME(sighold, SigHold),
    BY_NAME(sigrelse, SigRelse),
    BY_NAME(sigignore, SigIgnore),
    BY_NAME(siginterrupt, SigInterrupt),
    BY_NAME(sigblock, SigBlock),
    BY_NAME(sigsetmask, SigBlock),
    BY_NAME(siggetmask, SigGetMask),
    DECLARED(sigaltstack, SigAltStack),
    DECLARED(sigpending, SigPending),
    DECLARED(sigsuspend, SigSuspend),
    BY_NAME(__sigsuspend, SigSuspend),
    DECLARED(sigwait, SigWait),
    DECLARED(sigwaitinfo, SigWaitInfo),
    DECLARED(sigtimedwait, SigTimedWait),
    BY_NAME(__sigtimedwait, SigTimedWait),
    DECLARED(raise, Raise),
    BY_NAME(gsignal, Raise),
    DECLARED(kill, KillProcess),

    DECLARED(longjmp, LongJump),
    DECLARED(_longjmp, LongJump),
    BY_NAME(__longjmp_chk, LongJump),
    DECLARED(siglongjmp, SigLongJump),
};

enum { kCaseCount = sizeof kCases / sizeof kCases[0] };

// Old names have old versions only, which plain dlsym() does not see.
static Function Find(const char* name) {
  static const char* const kVersions[] = {"GLIBC_2.2.5", "GLIBC_2.2.6", "GLIBC_2.17", "GLIBC_2.34", "GLIBC_PRIVATE"};
  void* symbol = dlsym(RTLD_DEFAULT, name);
  for (size_t i = 0; symbol == NULL && i < sizeof kVersions / sizeof kVersions[0]; ++i) {
    symbol = dlvsym(RTLD_DEFAULT, name, kVersions[i]);
  }
  Function function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

int FirstOp(const char* name) {
  for (size_t i = 0; i < kCaseCount; ++i) {
    if (strcmp(kCases[i].name, name) != 0) continue;
    Function function = kCases[i].function;
    if (function == NULL) function = Find(name);
    if (function == NULL) {
      puts("absent");
      return 0;
    }
    kCases[i].body(function);
    return 0;
  }
  fprintf(stderr, "first_op: no case for %s\n", name);
  return 2;
}

static void* FirstOpInThread(void* name) {
  return (void*)(long)FirstOp(name);
}

// Whatever came first, threads work.
static void SeeThatThreadsWork(void) {
  struct Handover handover = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, HandOver, &handover) == 0);
  CHECK(pthread_mutex_lock(&handover.mutex) == 0);
  while (!handover.ready) CHECK(pthread_cond_wait(&handover.cond, &handover.mutex) == 0);
  CHECK(pthread_mutex_unlock(&handover.mutex) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "list") == 0) {
    for (size_t i = 0; i < kCaseCount; ++i) puts(kCases[i].name);
    return 0;
  }
  if (argc != 3) return 2;
  int status = 0;
  if (strcmp(argv[1], "main") == 0) {
    status = FirstOp(argv[2]);
  } else if (strcmp(argv[1], "thread") == 0) {
    pthread_t thread;
    void* result = NULL;
    CHECK(pthread_create(&thread, NULL, FirstOpInThread, argv[2]) == 0);
    if (strcmp(argv[2], "pthread_detach:self") == 0) {
      usleep(5000);  // It cannot be joined.
    } else {
      CHECK(pthread_join(thread, &result) == 0);
      const int exits = strcmp(argv[2], "pthread_exit") == 0 || strcmp(argv[2], "thrd_exit") == 0;
      CHECK(!exits || result == (void*)FIRST_OP_RESULT);
      status = exits ? 0 : (int)(long)result;
    }
  } else if (strcmp(argv[1], "ctor") == 0) {
    status = FirstOpCtorStatus();
  } else {
    return 2;
  }
  SeeThatThreadsWork();
  return status;
}
