// SPDX-License-Identifier: Apache-2.0
// Scheduling policy, priority and affinity of threads. A G that asks for what the kernel gives to every thread anyway
// (SCHED_OTHER, all CPUs of the process) stays a G; one that asks for anything else is wired, and its kernel thread is
// told. Another thread's request, and a creator's, is applied by the target itself, before it next runs program code;
// whether the kernel allows it is asked at once.
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

int thread_setschedparam(pthread_t t, int policy, const sched_param* param);
int thread_getschedparam(pthread_t t, int* policy, sched_param* param);
int thread_setschedprio(pthread_t t, int priority);
int thread_setaffinity(pthread_t t, size_t size, const cpu_set_t* cpus);
int thread_getaffinity(pthread_t t, size_t size, cpu_set_t* cpus);

// When the scheduler starts: what main has is what every thread has that asks for nothing.
void policy_init();

// What a thread that `creator` makes is to have: of the attribute (may be null) or inherited; null: nothing of its own.
// EPERM, EINVAL: the kernel says no; EAGAIN: no memory.
int policy_for_new(G* creator, const pthread_attr_t* attr, KernelPolicy** out);
void free_policy(KernelPolicy* policy);
// Outside. Starts a new thread, which runs on a kernel thread of its own, and returns when it has what it is to have: if
// it goes before the caller, it has begun to run. (glibc's waits for its creator to set it.) `policy` may be null. One
// that is particular (kernel_state.h) runs on a clone of the caller's kernel thread: false, if none can be had.
bool start_on_kernel_thread(G* g, KernelPolicy* policy);

// The calling thread takes over what was asked for it.
void apply_policy(G* g);
void forget_policy(G* g);

}  // namespace mn
