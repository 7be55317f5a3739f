// SPDX-License-Identifier: Apache-2.0
// Yield and the sleep family.
#include <unistd.h>

#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/wait.h"

using namespace mn;

MN_SHIM MN_FLATTEN int sched_yield() {
  if (!on()) return real.sched_yield();
  thread_yield();
  return 0;
}

MN_SHIM int nanosleep(const timespec* request, timespec* remaining) {
  if (!scheduled() || !valid_sleep(request)) return real.nanosleep(request, remaining);
  return errno_result(sleep_for(*request, remaining));
}

MN_SHIM int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* remaining) {
  if (!scheduled() || !valid_sleep(request) || !valid_clock(clock))
    return real.clock_nanosleep(clock, flags, request, remaining);
  if ((flags & TIMER_ABSTIME) == 0) return sleep_for(*request, remaining);
  int64_t left;
  return sleep_until(Deadline{clock, timespec_ns(*request)}, &left);
}

MN_SHIM int usleep(useconds_t us) {
  if (!scheduled()) return real.usleep(us);
  int64_t left;
  return errno_result(sleep_until(after(int64_t{us} * 1000), &left));
}

MN_SHIM unsigned sleep(unsigned seconds) {
  if (!scheduled()) return real.sleep(seconds);
  int64_t left;
  if (sleep_until(after(seconds * kNsPerSec), &left) == 0) return 0;
  return static_cast<unsigned>((left + kNsPerSec / 2) / kNsPerSec);
}

MN_ALIAS(__sched_yield, sched_yield);
MN_ALIAS(pthread_yield, sched_yield);
MN_ALIAS(__nanosleep, nanosleep);
