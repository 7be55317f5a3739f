// SPDX-License-Identifier: Apache-2.0
// The program is about to install a seccomp filter: what libmn has to give up for it (os/confined.h) is given up
// before, or the filter would find it at that. Threads that wait for readiness go on in calls that block.
//
// What another thread is just about to call, having looked a moment ago, still meets the filter: a few instructions,
// which a program that confines itself while its threads are busy may hit natively as well, with a call of its own.
#pragma once

#include <linux/filter.h>

namespace mn {

// Outside. `filter` is the program's word, which the kernel checks afterwards.
void confine_by(const sock_fprog* filter);

}  // namespace mn
