// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/stats.h"

#include "runtime/base/options.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {

void stats_print() {
  uint64_t switches = 0, steals = 0;
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i) {
    switches += sched.ps[i]->switches;
    steals += sched.ps[i]->steals;
  }
  Text line;
  line << "libmn: stats: mode=mn procs=" << sched.nprocs << " gs=" << threads_created() << " switches=" << switches
       << " steals=" << steals << " ms=" << sched.n_ms << '\n';
  write_stderr(line.data(), line.size());
}

}  // namespace mn
