// SPDX-License-Identifier: Apache-2.0
// What the Ps have counted, and the line of MN_STATS=1.
#pragma once

#include <cstdint>

#include "runtime/base/text.h"
#include "runtime/sync/waitq.h"

namespace mn {

struct Counters {
  uint64_t switches = 0, steals = 0, preemptions = 0;
  uint64_t parks[kWaitKinds] = {};
};
// Sums over the Ps. Of a program that runs they are a moment old.
Counters counters_now();

// One word for each kind of wait: mutex, cond, ...
const char* wait_word(WaitKind kind);

// Writes "libmn: stats: key=value ..." to stderr, once per process, if it was asked for.
void stats_at_exit();

}  // namespace mn
