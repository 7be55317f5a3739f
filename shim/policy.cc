// SPDX-License-Identifier: Apache-2.0
// Scheduling parameters, affinity, the CPU clock's name.
#include <unistd.h>

#include "runtime/observe/observer.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/attr.h"
#include "runtime/thread/cpuclock.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

namespace {

int error_of(int result) {
  return result == 0 ? 0 : errno;
}

}  // namespace

// A child of vfork is no thread of its parent's: what it asks for itself is its own.
MN_SHIM int pthread_getschedparam(pthread_t t, int* policy, sched_param* param) {
  return on() ? thread_getschedparam(t, policy, param) : real.pthread_getschedparam(t, policy, param);
}
MN_SHIM int pthread_setschedparam(pthread_t t, int policy, const sched_param* param) {
  if (in_vfork_child()) return error_of(real.sched_setscheduler(0, policy, param));
  return on() ? thread_setschedparam(t, policy, param) : real.pthread_setschedparam(t, policy, param);
}
MN_SHIM int pthread_setschedprio(pthread_t t, int priority) {
  const sched_param param{priority};
  if (in_vfork_child()) return error_of(real.sched_setparam(0, &param));
  return on() ? thread_setschedprio(t, priority) : real.pthread_setschedprio(t, priority);
}
MN_SHIM int pthread_getaffinity_np(pthread_t t, size_t size, cpu_set_t* cpus) {
  return on() ? thread_getaffinity(t, size, cpus) : real.pthread_getaffinity_np(t, size, cpus);
}
MN_SHIM int pthread_setaffinity_np(pthread_t t, size_t size, const cpu_set_t* cpus) {
  if (in_vfork_child()) return error_of(real.sched_setaffinity(0, size, cpus));
  return on() ? thread_setaffinity(t, size, cpus) : real.pthread_setaffinity_np(t, size, cpus);
}

namespace {

// Linux's sched_* functions mean a thread, the process's first by its number: null if that is no G.
G* scheduled(pid_t pid) {
  if (!on_here() || (pid != 0 && pid != own_pid())) return nullptr;
  G* g = pid == 0 ? self_g() : sched.main_g;
  return g != nullptr ? thread_g(thread_of(g)) : nullptr;
}

// Of one that is wired: the kernel knows what it has, however it got it.
pid_t kernel_tid(const G* g) {
  return g->m.load(std::memory_order_relaxed)->ktid.load(std::memory_order_relaxed);
}

}  // namespace

MN_SHIM int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t* cpus) {
  G* g = scheduled(pid);
  return g != nullptr && cpus != nullptr ? errno_result(thread_setaffinity(thread_of(g), size, cpus))
                                         : real.sched_setaffinity(pid, size, cpus);
}
MN_SHIM int sched_getaffinity(pid_t pid, size_t size, cpu_set_t* cpus) {
  G* g = scheduled(pid);
  return g != nullptr && cpus != nullptr ? errno_result(thread_getaffinity(thread_of(g), size, cpus))
                                         : real.sched_getaffinity(pid, size, cpus);
}
MN_SHIM int sched_setscheduler(pid_t pid, int policy, const sched_param* param) {
  G* g = scheduled(pid);
  return g != nullptr && param != nullptr ? errno_result(thread_setscheduler(g, policy, param))
                                          : real.sched_setscheduler(pid, policy, param);
}
MN_SHIM int sched_getscheduler(pid_t pid) {
  int policy;
  sched_param param;
  G* g = scheduled(pid);
  if (g != nullptr && g->wired) return real.sched_getscheduler(kernel_tid(g));
  return g != nullptr && thread_getscheduler(g, &policy, &param) == 0 ? policy : real.sched_getscheduler(pid);
}
MN_SHIM int sched_setparam(pid_t pid, const sched_param* param) {
  int policy;
  sched_param present;
  G* g = scheduled(pid);
  return g != nullptr && param != nullptr && thread_getscheduler(g, &policy, &present) == 0
             ? errno_result(thread_setscheduler(g, policy, param))
             : real.sched_setparam(pid, param);
}
MN_SHIM int sched_getparam(pid_t pid, sched_param* param) {
  int policy;
  G* g = scheduled(pid);
  if (g != nullptr && g->wired) return real.sched_getparam(kernel_tid(g), param);
  return g != nullptr && param != nullptr ? errno_result(thread_getscheduler(g, &policy, param))
                                          : real.sched_getparam(pid, param);
}

MN_SHIM int pthread_getcpuclockid(pthread_t t, clockid_t* clock) {
  return on() ? thread_cpuclock(t, clock) : real.pthread_getcpuclockid(t, clock);
}

MN_SHIM int pthread_setattr_default_np(const pthread_attr_t* attr) {
  return on() ? attr_set_default(attr) : real.pthread_setattr_default_np(attr);
}

// No destructor runs: the statistics are printed here.
MN_SHIM void _exit(int status) {
  if (on_here()) observe_at_exit();
  real._exit(status);
  __builtin_unreachable();
}
MN_ALIAS(_Exit, _exit);
