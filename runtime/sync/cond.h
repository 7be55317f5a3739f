// SPDX-License-Identifier: Apache-2.0
// Condition variables in glibc's pthread_cond_t. Only two words of it are used: libc's initialiser leaves __wrefs with
// bit 0 for process-shared (then it is libc's) and bit 1 for CLOCK_MONOTONIC, and the first word counts the queued
// threads, changed under the bucket's lock.
//
// A woken thread does not touch the condition variable again, so that it may be destroyed right after a broadcast
// (POSIX). A signal handler does not end the wait, as in libc: while it runs the thread stays in the queue (member.h).
#pragma once

#include <pthread.h>

#include "runtime/os/clock.h"

namespace mn {

inline bool cond_is_libcs(const pthread_cond_t* c) {
  return (c->__data.__wrefs & 1) != 0;
}
inline clockid_t cond_clock(const pthread_cond_t* c) {
  return (c->__data.__wrefs & 2) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

// Waits with *m given up, then takes it again. 0, ETIMEDOUT, EPERM, or EINTR: the thread was cancelled, or there is no
// memory to run a handler in the midst of the wait; the mutex is held again.
int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const Deadline& deadline);
void cond_signal(pthread_cond_t* c);
void cond_broadcast(pthread_cond_t* c);

}  // namespace mn
