// SPDX-License-Identifier: Apache-2.0
// What libmn can do without. A program may confine itself by a seccomp filter that lets through what it needs and
// refuses the rest, or kills for it; what libmn calls beside is not on its list (docs/confinement.md has them all). So
// libmn reads the filter, as it is installed, and asks it about its own calls: what it does not allow is not called
// again. A filter that was there before the process, or that is installed past libc, is not seen; where it refuses,
// the refusal says so (refused()).
//
// A means that was given up does not come back: filters cannot be taken off.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "runtime/base/check.h"

namespace mn {

enum Means : uint32_t {
  kReadiness = 1,        // calls that attempt without blocking, and epoll; without: calls block their Ms (shim/io.h)
  kMembarrier = 2,       // without: enter() has a fence (sched.h)
  kSignalling = 4,       // preemption by a signal; without: sysmon takes the P of a G that computes
  kProc = 8,             // the state of kernel threads; without: by their CPU time
  kThreadClocks = 16,    // that; without: a G that has not switched for a turn loses the P
  kYield = 32,           // sched_yield; without: a futex that times out
  kQuestions = 64,       // what is only asked to do better: names, user ids, limits; without: as if there were limits
  kMarkedSignals = 128,  // pokes (thread/signal.h) with a mark; without: the M remembers that it was poked
  kOutput = 256,         // of what MN_STATS and its like print; without: nothing is printed
  kAdvice = 512,         // madvise; without: guards by mprotect, nothing is given back while its slot is kept
  kReturns = 1024,       // rt_sigreturn; without: handlers of libmn's end as arch/inject.h says
  kThreads = 2048,       // new stacks and kernel threads; without: those that there are (sched/provide.h)
  kTrials = 4096,        // to ask for them all the same, where a filter refuses and does not kill
  kMemory = 8192,        // mmap; without, for it kills: there is no memory
  kHolding = 16384,      // rt_sigqueueinfo; without: libmn holds signals that nobody takes, and not the kernel
  kStacks = 32768,       // sigaltstack; without: an alternate stack stays with the kernel thread
};

extern std::atomic<uint32_t> means_lost;

inline bool may_use(uint32_t means) {
  return MN_LIKELY((means_lost.load(std::memory_order_relaxed) & means) == 0);
}

// Which means a filter takes away. Its instructions are valid (the kernel checks them afterwards), or all are.
uint32_t means_taken_by(const sock_filter* filter, unsigned count);
// By the classic BPF of seccomp(2): what it returns of the call, and whether that lets it through. Public for the test.
uint32_t filter_returns(const sock_filter* filter, unsigned count, const seccomp_data& call);
bool filter_allows(const sock_filter* filter, unsigned count, const seccomp_data& call);

// The answer of a filter, which may be any error, most often one of these. The calls that we look at give them for no
// other reason, or it does no harm.
inline bool refused(long result) {
  return result == -EPERM || result == -EACCES || result == -ENOSYS;
}

// Offers the CPU to others.
void yield_cpu();

}  // namespace mn
