// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/stats.h"

#include <errno.h>

#include "runtime/base/options.h"
#include "runtime/observe/output.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr const char* kWords[] = {"other",   "mutex", "cond", "read",  "write", "sem",
                                  "barrier", "once",  "join", "sleep", "futex", "descriptor"};
static_assert(sizeof kWords / sizeof kWords[0] == kWaitKinds);

// Its P's M writes it as a plain word.
uint64_t read(uint64_t& word) {
  return std::atomic_ref<uint64_t>(word).load(std::memory_order_relaxed);
}

// Without the system call, which a filter may refuse. Before the scheduler starts main is alone.
int process_id() {
  return sched.pid != 0 ? sched.pid : tcb_tid(thread_pointer());
}

}  // namespace

Counters counters_now() {
  Counters sum;
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i) {
    P* p = sched.ps[i];
    sum.switches += read(p->switches);
    sum.steals += read(p->steals);
    sum.preemptions += read(p->preemptions);
    for (int kind = 0; kind < kWaitKinds; ++kind) sum.parks[kind] += read(p->parks[kind]);
  }
  return sum;
}

const char* wait_word(WaitKind kind) {
  return kWords[static_cast<int>(kind)];
}

void stats_at_exit() {
  static constinit std::atomic<bool> printed{false};
  if (options.stats == 0 || printed.exchange(true, std::memory_order_relaxed)) return;
  Counters sum = counters_now();
  Text line;
  line << "libmn: stats: mode=mn procs=" << sched.nprocs << " gs=" << threads_created() << " switches=" << sum.switches
       << " steals=" << sum.steals << " ms=" << sched.n_ms
       << " retakes=" << sched.retakes.load(std::memory_order_relaxed)
       << " handoffs=" << sched.handoffs.load(std::memory_order_relaxed) << " preemptions=" << sum.preemptions
       << " parks=";
  bool any = false;
  for (int kind = 0; kind < kWaitKinds; ++kind) {
    if (sum.parks[kind] == 0) continue;
    line << (any ? "," : "") << kWords[kind] << ':' << sum.parks[kind];
    any = true;
  }
  line << (any ? "" : "none") << " pid=" << process_id() << " program=";
  line.foreign(program_invocation_short_name) << '\n';
  output(line);
}

}  // namespace mn
