// SPDX-License-Identifier: Apache-2.0
// Yield and the sleep family.
#include <unistd.h>

#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// Whether the caller is scheduled by us; everyone else sleeps in the kernel.
bool scheduled() {
  return on() && this_g() != nullptr && !this_g()->wired;
}

// Until `deadline`; 0 or EINTR, then with what is left in *left (ns).
int sleep_until(const Deadline& deadline, int64_t* left) {
  cancellation_point();
  int error = thread_sleep(deadline);
  if (error != EINTR) return 0;
  cancellation_point();
  int64_t now = clock_ns(deadline.clock);
  *left = deadline.at > now ? deadline.at - now : 0;
  return EINTR;
}

Deadline after(int64_t ns) {
  int64_t at;
  if (__builtin_add_overflow(now_ns(), ns, &at)) at = kForever - 1;
  return {CLOCK_MONOTONIC, at};
}

int sleep_for(const timespec& request, timespec* remaining) {
  int64_t left = 0;
  int error = sleep_until(after(timespec_ns(request)), &left);
  if (error == EINTR && remaining != nullptr) *remaining = ns_timespec(left);
  return error;
}

bool sane(const timespec* t) {
  return t != nullptr && valid_timespec(*t) && t->tv_sec >= 0;
}

}  // namespace

MN_SHIM int sched_yield() {
  if (!on()) return real.sched_yield();
  thread_yield();
  return 0;
}

MN_SHIM int nanosleep(const timespec* request, timespec* remaining) {
  if (!scheduled() || !sane(request)) return real.nanosleep(request, remaining);
  return errno_result(sleep_for(*request, remaining));
}

MN_SHIM int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* remaining) {
  if (!scheduled() || !sane(request) || !valid_clock(clock))
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
