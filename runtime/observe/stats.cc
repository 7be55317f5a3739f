// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/stats.h"

#include <fcntl.h>

#include "runtime/base/options.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

// Programs close stderr before they end (xz does). Far above the numbers that programs get.
constexpr int kLowestFd = 900;
constinit int g_fd = 2;

}  // namespace

void stats_init() {
  if (options.stats == 0) return;
  long fd = raw_syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, kLowestFd);
  if (fd >= 0) g_fd = static_cast<int>(fd);
}

void stats_at_exit() {
  static constinit std::atomic<bool> printed{false};
  if (options.stats == 0 || printed.exchange(true, std::memory_order_relaxed)) return;
  uint64_t switches = 0, steals = 0;
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i) {
    switches += sched.ps[i]->switches;
    steals += sched.ps[i]->steals;
  }
  Text line;
  line << "libmn: stats: mode=mn procs=" << sched.nprocs << " gs=" << threads_created() << " switches=" << switches
       << " steals=" << steals << " ms=" << sched.n_ms << '\n';
  raw_syscall(SYS_write, g_fd, sys_arg(line.data()), static_cast<long>(line.size()));
}

}  // namespace mn
