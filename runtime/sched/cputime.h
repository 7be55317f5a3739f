// SPDX-License-Identifier: Apache-2.0
// The CPU time of single Gs.
//
// The kernel counts by kernel thread. From the first question on (kCpuTimes), each switch charges the G that goes
// with what its M has used since M::cpu_mark. Before it nobody pays: reading that clock is a system call, several times
// as long as a switch. So what a G has used before the program's first question is not counted. Main is the
// exception: its clock goes on from where the kernel's was when the scheduler started.
//
// Written by the M that runs the G, inside: first G::cpu_ns, then M::cpu_mark. A reader on another M takes the two and
// the clock of the G's M, and tries again if one of them changed meanwhile.
#pragma once

#include "runtime/sched/sched.h"

namespace mn {

// Nanoseconds; of any G that is not a system thread's. Outside.
int64_t cpu_time(G* g);

// The running G's turn on m is over. Inside.
void charge_cpu_time(M* m, G* g);

}  // namespace mn
