// SPDX-License-Identifier: Apache-2.0
// Unnamed semaphores, barriers and spin locks. sem_open's semaphores are marked shared by libc, and stay its own.
#include "runtime/sync/sem.h"
#include "runtime/sync/barrier.h"
#include "runtime/sync/interrupt.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// After a handler with SA_RESTART the kernel restarts a futex wait, unless that has a time-out.
int take(sem_t* s, const Deadline& deadline) {
  cancellation_point();
  for (;;) {
    Interruption interruption(self_g());
    int error = sem_take(s, deadline);
    if (MN_LIKELY(error != EINTR)) return errno_result(error);
    cancellation_point();
    if (interruption.ends_wait(deadline.never())) return errno_result(EINTR);
  }
}

int timed_take(sem_t* s, const timespec* abstime) {
  if (!valid_timespec(*abstime)) return errno_result(EINVAL);
  return take(s, Deadline{CLOCK_REALTIME, timespec_ns(*abstime)});
}

// As glibc's: a cancellation point only where it has to wait.
int clock_take(sem_t* s, clockid_t clock, const timespec* abstime) {
  if (!valid_timespec(*abstime) || !valid_clock(clock)) return errno_result(EINVAL);
  return sem_try(s) == 0 ? 0 : take(s, Deadline{clock, timespec_ns(*abstime)});
}

}  // namespace

MN_SHIM MN_PREEMPTIBLE MN_FLATTEN int sem_wait(sem_t* s) {
  return on() && !sem_is_libcs(s) ? take(s, Deadline{}) : real.sem_wait(s);
}
MN_SHIM int sem_timedwait(sem_t* s, const timespec* abstime) {
  return on() && !sem_is_libcs(s) ? timed_take(s, abstime) : real.sem_timedwait(s, abstime);
}
MN_SHIM int sem_clockwait(sem_t* s, clockid_t clock, const timespec* abstime) {
  return on() && !sem_is_libcs(s) ? clock_take(s, clock, abstime) : real.sem_clockwait(s, clock, abstime);
}
MN_SHIM MN_PREEMPTIBLE int sem_post(sem_t* s) {
  return on() && !sem_is_libcs(s) ? errno_result(sem_give(s)) : real.sem_post(s);
}

MN_SHIM int pthread_barrier_wait(pthread_barrier_t* b) {
  return on() && !barrier_is_libcs(b) ? barrier_wait(b) : real.pthread_barrier_wait(b);
}
MN_SHIM int pthread_barrier_destroy(pthread_barrier_t* b) {
  return on() && !barrier_is_libcs(b) ? 0 : real.pthread_barrier_destroy(b);
}

// The holder may be a G that waits for this very P: spin briefly, then let others run.
MN_SHIM MN_PREEMPTIBLE int pthread_spin_lock(pthread_spinlock_t* l) {
  if (!on()) return real.pthread_spin_lock(l);
  for (;;) {
    for (int i = 0; i < 100; ++i) {
      if (*l != 0 && real.pthread_spin_trylock(l) == 0) return 0;
      __builtin_ia32_pause();
    }
    thread_yield();
  }
}
