// SPDX-License-Identifier: Apache-2.0
// The fence between enter() and whoever reads `inside` from another thread (sched.h, "Inside and outside"). enter() has
// none: the other thread calls membarrier(2), which fences every CPU that runs one of our threads. Where the kernel has
// no membarrier, or a filter refuses it later, enter() has a fence from then on (fence_on_enter).
#include <linux/membarrier.h>

#include "runtime/base/options.h"
#include "runtime/os/confined.h"
#include "runtime/sched/sched.h"

namespace mn {

bool fence_all() {
  bool expected = !sched.fence_on_enter && sched.started.load(std::memory_order_relaxed);
  bool fenced = !expected || raw_syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
  if (MN_UNLIKELY(!fenced)) fence_on_enter_from_now();
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with enter()'s, where it has one
  return fenced;
}

// A thread in the middle of enter() has read the flag as it was: the last membarrier is for it. If that is refused,
// the thread has long entered when sysmon looks again.
void fence_on_enter_from_now() {
  if (sched.fence_on_enter) return;
  sched.fence_on_enter = true;
  sched.observed.fetch_or(kFenced, std::memory_order_relaxed);
  if (sched.started.load(std::memory_order_relaxed)) raw_syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

// The registration waits for a grace period of RCU, 6 to 28 ms, once the process has a second kernel thread.
void fence_prepare() {
  bool have = (options.disable & kDisableMembarrier) == 0 && may_use(kMembarrier) &&
              raw_syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  sched.fence_on_enter = !have;
  if (!have) sched.observed.fetch_or(kFenced, std::memory_order_relaxed);
}

}  // namespace mn
