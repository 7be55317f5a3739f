// SPDX-License-Identifier: Apache-2.0
// Calls that are bound to block in the kernel: the P is given away before, not when sysmon notices, and a P is asked
// for after. What may block but hardly does needs none of this: sysmon sees to it.
#pragma once

#include <errno.h>

#include <utility>

#include "runtime/sched/sched.h"
#include "runtime/sync/interrupt.h"

namespace mn {

// Outside before and after. Between the two the thread holds its M and no P.
inline void block_begin() {
  release_p(enter());
  leave();
}
inline void block_end() {
  int saved = errno;
  enter();  // finds that there is no P, takes one or waits for one
  leave();
  errno = saved;
}

// `call` is one of libc's: -1 with errno; a cancellation point that may unwind, which needs no P.
template <class Call>
long blocking(Call call) {
  block_begin();
  long result;
  for (;;) {
    Interruption interruption(this_g());
    result = call();
    if (result == -1) result = -errno;
    if (result != -EINTR || !interruption.only_preempted()) break;
  }
  block_end();
  return result;
}

}  // namespace mn
