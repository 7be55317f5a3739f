// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/cpuclock.h"

#include <errno.h>

#include "runtime/os/clock.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

struct Search {
  uint32_t tid;
  G* found = nullptr;
};

G* by_tid(uint32_t tid) {
  if (tid == static_cast<uint32_t>(sys_getpid())) return sched.main_g;
  if (tid < static_cast<uint32_t>(kFakeTidBase)) return nullptr;
  Search search{tid};
  gpool_for_each(
      [](G* g, void* arg) {
        auto* s = static_cast<Search*>(arg);
        if (g->tid == s->tid && !g->system && g->state != GState::kFree && !ended(g)) s->found = g;
      },
      &search);
  return search.found;
}

}  // namespace

int thread_cpuclock(pthread_t t, clockid_t* clock) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_getcpuclockid(t, clock);
  if (ended(g)) return ESRCH;
  // A forked child's main goes on with the number that it had in its parent.
  *clock = thread_cpu_clock(g == sched.main_g ? sys_getpid() : static_cast<int>(g->tid));
  return 0;
}

G* cpuclock_g(clockid_t clock) {
  constexpr clockid_t kOfThread = 6, kKind = 7;
  if (clock == CLOCK_THREAD_CPUTIME_ID || clock == thread_cpu_clock(0)) {
    G* g = self_g();
    return thread_g(thread_of(g));
  }
  if (clock >= 0 || (clock & kKind) != kOfThread) return nullptr;
  return by_tid(~static_cast<uint32_t>(clock >> 3));
}

bool is_own_cpu_clock(clockid_t clock) {
  return clock == CLOCK_THREAD_CPUTIME_ID || (is_cpu_clock(clock) && cpuclock_g(clock) == self_g());
}

}  // namespace mn
