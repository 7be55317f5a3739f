// SPDX-License-Identifier: Apache-2.0
// What is noted in the Ps' rings for MN_TRACE (sched/trace.h), and how it is read.
#pragma once

#include "runtime/sched/sched.h"

namespace mn {

// Before a thread but the caller runs; again in a forked child, for which all that was noted is the parent's. False: no
// memory.
bool recorder_start();
// From now on nothing is noted.
void recorder_stop();
// The slice that P is in, or what it has left out since its last record; false: neither. After recorder_stop(), and a P
// that runs may just be noting it itself.
bool recorder_unfinished(P* p, TraceRecord* r);

// Gives `see` all that P has noted, in order, and lets it note as much again as it may in one period. On the observer.
void recorder_read(P* p, void (*see)(const P* p, const TraceRecord& r));

}  // namespace mn
