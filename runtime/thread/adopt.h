// SPDX-License-Identifier: Apache-2.0
// What an adopted thread is made of (adopt.cc).
#pragma once

#include "runtime/sched/sched.h"

namespace mn {

struct Adopted {
  G g;
  M m;
  Adopted* next = nullptr;                           // in g_free
  Adopted *all_next = nullptr, *all_prev = nullptr;  // in adopted_all
};
extern Adopted* adopted_all;  // but for the first thread of the process; under a lock of adopt.cc's

}  // namespace mn
