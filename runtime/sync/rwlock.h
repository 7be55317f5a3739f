// SPDX-License-Identifier: Apache-2.0
// Reader-writer locks in glibc's pthread_rwlock_t, of which libc's initialiser leaves __flags (preference) and __shared
// (then it is libc's); the first two words are ours:
//
//   state    bit 31 kWriter: held for writing. Bit 30 kWaiters: somebody is queued; set and cleared under the bucket's
//            lock only, and while it is set every unlock that frees the lock goes through the bucket. Bits 0-29:
//            readers.
//   writers  queued writers; changed under the bucket's lock
//
// and __cur_writer, which libc keeps too, names the writing thread. Readers queue on the address of `state`, writers on
// that of `writers` (one bucket). Whoever frees the lock hands it over: the woken thread owns it already. Preference is
// glibc's: readers first unless PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP.
#pragma once

#include <pthread.h>

#include "runtime/os/clock.h"

namespace mn {

inline bool rwlock_is_libcs(const pthread_rwlock_t* l) {
  return l->__data.__shared != 0;
}

int rwlock_rdlock(pthread_rwlock_t* l, const Deadline& deadline);
int rwlock_wrlock(pthread_rwlock_t* l, const Deadline& deadline);
int rwlock_tryrdlock(pthread_rwlock_t* l);
int rwlock_trywrlock(pthread_rwlock_t* l);
int rwlock_unlock(pthread_rwlock_t* l);

}  // namespace mn
