// SPDX-License-Identifier: Apache-2.0
// pthread_mutex_t of the kinds that live in one process, in glibc's layout (struct __pthread_mutex_s), so that static
// initialisers, pthread_mutex_init and what libc's own code reads (owner, kind) stay true.
//
//   __lock    0 free; 1 held; 2 held, and somebody may wait. May be 1 only while no thread is queued or about to queue;
//             must not drop from 2 to 0 without a wake-up.
//   __owner   thread id of the holder (a G's own, not the kernel thread's); written by the holder only, 0 when free
//   __count   recursive kind: depth; written by the holder only
//   __nusers  holders; glibc's pthread_mutex_destroy reads it
//   __kind    type in the low two bits; the bits of kMutexLibcKinds make it libc's business
//
// Unlocking gives the mutex to nobody: a thread that comes along may take it before the woken one runs (as in glibc;
// Mesa semantics cost one switch less per hand-over). Once it is 0 the mutex is not touched again, for its next holder
// may destroy it: the waiter is woken by the address alone.
#pragma once

#include <pthread.h>

#include "runtime/os/clock.h"

namespace mn {

constexpr int kMutexLibcKinds = 0x10 | 0x20 | 0x40 | 0x80;  // robust, priority inheritance, priority protection, shared

inline bool mutex_is_libcs(const pthread_mutex_t* m) {
  return (m->__data.__kind & kMutexLibcKinds) != 0;
}

// Robust and priority-inheriting or -protecting ones, and shared ones that compare their owner's id with the caller's.
inline bool mutex_needs_kernel_thread(const pthread_mutex_t* m) {
  const int kind = m->__data.__kind;
  const bool compares_owners = (kind & 3) == PTHREAD_MUTEX_RECURSIVE || (kind & 3) == PTHREAD_MUTEX_ERRORCHECK;
  return (kind & (0x10 | 0x20 | 0x40)) != 0 || ((kind & 0x80) != 0 && compares_owners);
}

// All return errno values exactly as glibc does.
int mutex_lock(pthread_mutex_t* m);
int mutex_trylock(pthread_mutex_t* m);
int mutex_timedlock(pthread_mutex_t* m, clockid_t clock, const timespec* abstime);
int mutex_unlock(pthread_mutex_t* m);
int mutex_destroy(pthread_mutex_t* m);

// Of a kind that knows its owner, and that is not the caller.
bool mutex_is_anothers(const pthread_mutex_t* m);

// For condition variables. Gives the caller's mutex up inside libmn, whatever its depth is; *wake_one: somebody waits
// for it, wake one on its address later. The robust kind's EOWNERDEAD comes from mutex_reacquire. 0, or EPERM when the
// caller does not hold an error-checking or recursive one.
int mutex_release_for_wait(pthread_mutex_t* m, unsigned* depth, bool* wake_one);
int mutex_reacquire(pthread_mutex_t* m, unsigned depth);
void mutex_wake_one(pthread_mutex_t* m);

}  // namespace mn
