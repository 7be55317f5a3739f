// SPDX-License-Identifier: Apache-2.0
// Scheduling policy, priority and affinity of threads. A G that asks for what the kernel gives to every thread anyway
// (SCHED_OTHER, all CPUs of the process) stays a G; one that asks for anything else is wired, and its kernel thread is
// told. Another thread's request, and a creator's, is applied by the target itself, before it next runs program code;
// whether the kernel allows it is asked at once.
//
// Like libc, a thread's TCB has the policy and the priority that it was given by pthread functions, and whether it was
// given any (Told); new threads take that over. pthread_getschedparam, pthread_getattr_np and libc's own
// priority-protecting mutexes go by it, while the kernel has what those mutexes make of it. So of a thread that is the
// kernel's, libc's functions do all of that themselves.
#pragma once

#include <pthread.h>
#include <sched.h>

#include "runtime/sched/g.h"

namespace mn {

struct KernelPolicy {
  bool has_policy = false, has_cpus = false;
  int policy = SCHED_OTHER;
  sched_param param{};
  cpu_set_t cpus{};
  bool* applied = nullptr;  // the creator's, which waits for it
};

// In G::sigpend, where libc's signal 32 would be: a change of policy waits to be applied.
constexpr uint64_t kPolicyBit = uint64_t{1} << 31;

struct Told {
  int flags = 0;  // of kFlagsSchedulingTold
  int policy = SCHED_OTHER;
  sched_param param{};
};
Told told_of(const G* g);
void tell(G* g, const Told& told);

// What a new thread begins with; kernel null: what every thread has.
struct NewPolicy {
  Told told;
  KernelPolicy* kernel = nullptr;
};

int thread_setschedparam(pthread_t t, int policy, const sched_param* param);
int thread_getschedparam(pthread_t t, int* policy, sched_param* param);
int thread_setschedprio(pthread_t t, int priority);
// What the kernel has, as Linux's sched_* functions set and tell it, behind libc's back. The size of a mask is the
// kernel's business.
int thread_setscheduler(G* g, int policy, const sched_param* param);
int thread_getscheduler(G* g, int* policy, sched_param* param);
int thread_setaffinity(pthread_t t, size_t size, const cpu_set_t* cpus);
int thread_getaffinity(pthread_t t, size_t size, cpu_set_t* cpus);

// When the scheduler starts: what main has is what every thread has that asks for nothing.
void policy_init();

// What a thread that `creator`, the caller, makes is to have: of the attribute (may be null) or inherited. EPERM,
// EINVAL: the kernel says no; EAGAIN: no memory.
int policy_for_new(G* creator, const pthread_attr_t* attr, NewPolicy* out);
void free_policy(KernelPolicy* policy);
// Outside. Starts a new thread, which runs on a kernel thread of its own, and returns when it has what it is to have:
// if it goes before the caller, it has begun to run. (glibc's waits for its creator to set it.) `policy` may be null.
// One that is particular (kernel_state.h) runs on a clone of the caller's kernel thread: false, if none can be had.
bool start_on_kernel_thread(G* g, KernelPolicy* policy);

// The calling thread takes over what was asked for it.
void apply_policy(G* g);
void forget_policy(G* g);

}  // namespace mn
