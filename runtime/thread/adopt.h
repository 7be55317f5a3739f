// SPDX-License-Identifier: Apache-2.0
// What an adopted thread is made of (adopt.cc).
#pragma once

#include <linux/futex.h>
#include <pthread.h>

#include "runtime/sched/sched.h"

namespace mn {

struct Adopted {
  G g;
  M m;
  pthread_mutex_t life{};                            // robust, locked by the thread as long as it lives
  Adopted* next = nullptr;                           // in g_free
  Adopted *all_next = nullptr, *all_prev = nullptr;  // in adopted_all
};
// But for the first thread of the process; under a lock of adopt.cc's. Those of threads that have ended stay for a
// while.
extern Adopted* adopted_all;
constexpr uint32_t kAdoptedEnded = FUTEX_OWNER_DIED;  // in the first word of Adopted::life

}  // namespace mn
