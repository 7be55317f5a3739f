// SPDX-License-Identifier: Apache-2.0
// Kernel threads under a filter of the program's (os/confined.h).
//
// Natively a filter need not let through what a new stack takes, or a new kernel thread: the threads that there are go
// on, and new ones run on the stacks of those that have ended, of which libc keeps 40 MiB. Under libmn the program's
// threads run on Ms, which are made when others block. So before such a filter comes the creator makes as many Ms as
// natively there can be threads from then on, and slots that are free are put where every thread finds them
// (gpool_share). Afterwards no more are asked for; when all block, threads wait for one of them to come back.
//
// Stacks that libc has for sure are as good as new ones: those of the runtime's kernel threads that ended when the
// scheduler stopped (stop.cc), or that stayed behind in the parent of a fork. Where the scheduler does not run as the
// filter comes, for main is alone again, as many kernel threads are made and end at once.
//
// Any filter that takes something away waits until libmn's kernel threads have begun: what they call at first, and libc
// for them, may be just that.
#pragma once

#include <cstdint>

namespace mn {

// Outside. Gives up the means `taken` of kThreads, kTrials and kMemory, when enough has been made for `threads` of the
// program's. Returns when no kernel thread of libmn's is about to begin.
void provide(uint32_t taken, int64_t threads);

// --- for ms.cc and stop.cc
// On the creator: does what was asked for, with a function that makes an M.
void provide_if_asked(bool (*make_m)());
// Whether an M may be made, for a G of the program's that needs one or to be spare.
bool may_make_m(bool is_spare);
// One is made, and has begun or cannot be had.
void m_begins();
void m_has_begun();
// Made by libmn, and not ended yet.
int ms_alive();
// So many more stacks of kernel threads are libc's again. The caller is alone.
void stacks_are_free(int n);
// Has memory for as many Ms. False: there is not that much.
bool reserve_ms(int n);
// All but the caller are gone.
void provide_reset_after_fork();

}  // namespace mn
