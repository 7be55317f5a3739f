// SPDX-License-Identifier: Apache-2.0
// Unnamed semaphores in glibc's struct new_sem: one 64-bit word, value below, number of waiters above, so that both are
// seen at once; then the word that says whether it is process-shared (libc's).
//
// A post that finds waiters hands its unit to the oldest of them and leaves the value alone: a woken thread owns its
// unit and does not touch the semaphore again, so that it may be destroyed.
#pragma once

#include <semaphore.h>

#include "runtime/os/clock.h"

namespace mn {

struct SemLayout {  // glibc nptl/semaphoreP.h, internaltypes.h: struct new_sem with 64-bit atomics
  uint64_t word;
  int pshared;
};
static_assert(sizeof(SemLayout) <= sizeof(sem_t));

inline bool sem_is_libcs(const sem_t* s) {
  return reinterpret_cast<const SemLayout*>(s)->pshared != 0;
}

// errno values: 0, EAGAIN (try), ETIMEDOUT, EINTR, EOVERFLOW.
int sem_try(sem_t* s);
int sem_take(sem_t* s, const Deadline& deadline);
int sem_give(sem_t* s);

}  // namespace mn
