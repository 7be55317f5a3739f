// SPDX-License-Identifier: Apache-2.0
// Barriers in glibc's struct pthread_barrier. The arrivals of a round are counted under the bucket's lock, and the last
// one wakes the others, which do not touch the barrier again: it may be destroyed, unmapped or used for something else
// by then. A waiter that runs a signal handler stays in the queue and is woken there (member.h).
#pragma once

#include <pthread.h>

namespace mn {

struct BarrierLayout {  // glibc sysdeps/nptl/internaltypes.h
  unsigned in;
  unsigned current_round;
  unsigned count;
  int shared;
  unsigned out;
};
static_assert(sizeof(BarrierLayout) <= sizeof(pthread_barrier_t));

inline bool barrier_is_libcs(const pthread_barrier_t* b) {
  return reinterpret_cast<const BarrierLayout*>(b)->shared != 0;
}

// 0 or PTHREAD_BARRIER_SERIAL_THREAD.
int barrier_wait(pthread_barrier_t* b);

}  // namespace mn
