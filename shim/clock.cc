// SPDX-License-Identifier: Apache-2.0
// The clocks that count a thread's CPU time, what getrusage says of it, and timers that mean a kernel thread.
#include <sys/resource.h>
#include <time.h>

#include "runtime/os/clock.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/cputime.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/cpuclock.h"
#include "runtime/thread/kernel_state.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// Null: the kernel's to answer. On.
G* counted(clockid_t clock) {
  if (!is_cpu_clock(clock) || !sched.started.load(std::memory_order_relaxed)) return nullptr;
  const G* self = this_g();
  return self != nullptr && self->locks == 0 ? cpuclock_g(clock) : nullptr;
}

timeval microseconds(int64_t ns) {
  return {.tv_sec = ns / kNsPerSec, .tv_usec = ns % kNsPerSec / 1000};
}

int64_t nanoseconds(const timeval& t) {
  return t.tv_sec * kNsPerSec + t.tv_usec * 1000;
}

}  // namespace

// Libraries' constructors may call it before libmn knows libc's.
MN_SHIM int clock_gettime(clockid_t clock, timespec* out) {
  if (MN_UNLIKELY(real.clock_gettime == nullptr))
    return errno_result(static_cast<int>(-raw_syscall(SYS_clock_gettime, clock, sys_arg(out))));
  if (MN_LIKELY(!is_cpu_clock(clock))) return real.clock_gettime(clock, out);
  G* g = on_here() ? counted(clock) : nullptr;
  if (g == nullptr) return real.clock_gettime(clock, out);
  *out = ns_timespec(cpu_time(g));
  return 0;
}

MN_SHIM int clock_getres(clockid_t clock, timespec* out) {
  if (on_here() && counted(clock) != nullptr) clock = CLOCK_THREAD_CPUTIME_ID;
  return real.clock_getres(clock, out);
}

// Of a G, RUSAGE_THREAD has its CPU time, divided as its kernel thread's is; the rest is that kernel thread's.
MN_SHIM int getrusage(__rusage_who_t who, rusage* out) {
  bool ours = on_here();
  int result = real.getrusage(who, out);
  if (!ours || who != RUSAGE_THREAD || result != 0) return result;
  G* g = counted(CLOCK_THREAD_CPUTIME_ID);
  if (g == nullptr) return result;
  int64_t all = cpu_time(g), user = nanoseconds(out->ru_utime), system = nanoseconds(out->ru_stime);
  double share = user + system > 0 ? static_cast<double>(user) / static_cast<double>(user + system) : 1;
  user = static_cast<int64_t>(static_cast<double>(all) * share);
  out->ru_utime = microseconds(user);
  out->ru_stime = microseconds(all - user);
  return result;
}

// The kernel sends a signal to one of its threads, and counts the CPU time of one: the caller keeps its own from now
// on.
MN_SHIM int timer_create(clockid_t clock, sigevent* event, timer_t* timer) {
  if (!on_here()) return real.timer_create(clock, event, timer);
  self_g();
  sigevent to_caller;
  bool to_thread = event != nullptr && event->sigev_notify == SIGEV_THREAD_ID && names_caller(event->_sigev_un._tid);
  const bool own_clock = is_own_cpu_clock(clock);
  if (to_thread || own_clock) keep_kernel_state(Kept::kBound);
  if (own_clock) clock = CLOCK_THREAD_CPUTIME_ID;
  if (to_thread) {
    to_caller = *event;
    to_caller._sigev_un._tid = sys_gettid();
    event = &to_caller;
  }
  return real.timer_create(clock, event, timer);
}
