// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/stats.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/base/options.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

// Programs close stderr before they end (xz does): a copy, far above the numbers that programs get. Others close all
// that they do not know (varnish's children do), and its number may be a client's by now: is it still that file?
constexpr int kLowestFd = 900;
constinit int g_copy = -1;
constinit struct stat g_file {};

bool copy_is_ours() {
  struct stat now;
  return g_copy >= 0 && raw_syscall(SYS_fstat, g_copy, sys_arg(&now)) == 0 && now.st_dev == g_file.st_dev &&
         now.st_ino == g_file.st_ino;
}

}  // namespace

void stats_init() {
  if (options.stats == 0 || raw_syscall(SYS_fstat, 2, sys_arg(&g_file)) != 0) return;
  g_copy = static_cast<int>(raw_syscall(SYS_fcntl, 2, F_DUPFD_CLOEXEC, kLowestFd));
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
  raw_syscall(SYS_write, copy_is_ours() ? g_copy : 2, sys_arg(line.data()), static_cast<long>(line.size()));
}

}  // namespace mn
