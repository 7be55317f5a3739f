// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {
namespace {

// Of the process when it started: later, its first thread may have been pinned as some G's.
constinit cpu_set_t g_process_cpus{};
constinit long g_cpu_bytes = 0;

// Null: out of memory. Freed when the thread ends.
KernelPolicy* policy_of(G* g) {
  if (g->policy == nullptr) {
    void* memory = map_memory(kPageSize);
    if (memory != nullptr) g->policy = new (memory) KernelPolicy;
  }
  return g->policy;
}

bool process_may_use(const cpu_set_t& wanted, bool* all) {
  cpu_set_t both;
  CPU_AND(&both, &g_process_cpus, &wanted);
  *all = CPU_EQUAL(&both, &g_process_cpus) != 0;
  return CPU_COUNT(&both) != 0;
}

bool valid_policy(int policy, int priority) {
  switch (policy) {
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
      return priority == 0;
    case SCHED_FIFO:
    case SCHED_RR:
      return priority >= 1 && priority <= 99;
    default:
      return false;
  }
}

int request(G* g) {
  if (g == self_g()) {
    apply_policy(g);
    return 0;
  }
  g->sigpend.fetch_or(kPolicyBit, std::memory_order_seq_cst);  // pairs with deliver (signal.cc)
  enter();
  interrupt_wait(g);
  leave();
  return 0;
}

// Asks the kernel whether the caller may have it, on the calling thread when that is the target.
int try_policy(int policy, const sched_param* param) {
  return static_cast<int>(-raw_syscall(SYS_sched_setscheduler, 0, policy, sys_arg(param)));
}

}  // namespace

void policy_init() {
  g_cpu_bytes = raw_syscall(SYS_sched_getaffinity, 0, sizeof g_process_cpus, sys_arg(&g_process_cpus));
}

void apply_policy(G* g) {
  KernelPolicy* p = g->policy;
  if (p == nullptr) return;
  thread_wire();
  if (p->has_policy) try_policy(p->policy, &p->param);
  if (p->has_cpus) raw_syscall(SYS_sched_setaffinity, 0, sizeof p->cpus, sys_arg(&p->cpus));
}

void forget_policy(G* g) {
  if (g->policy != nullptr) unmap_memory(g->policy, kPageSize);
  g->policy = nullptr;
}

int thread_setschedparam(pthread_t t, int policy, const sched_param* param) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_setschedparam(t, policy, param);
  if (ended(g)) return ESRCH;
  if (!valid_policy(policy, param->sched_priority)) return EINVAL;
  bool plain = policy == SCHED_OTHER;
  if (plain && g->policy == nullptr) return 0;
  KernelPolicy* p = policy_of(g);
  if (p == nullptr) return ENOMEM;
  if (g == self_g()) {
    thread_wire();
    if (int error = try_policy(policy, param)) return error;
  }
  p->has_policy = true;
  p->policy = policy;
  p->param = *param;
  return request(g);
}

int thread_getschedparam(pthread_t t, int* policy, sched_param* param) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_getschedparam(t, policy, param);
  if (ended(g)) return ESRCH;
  bool own = g->policy != nullptr && g->policy->has_policy;
  *policy = own ? g->policy->policy : SCHED_OTHER;
  param->sched_priority = own ? g->policy->param.sched_priority : 0;
  return 0;
}

int thread_setschedprio(pthread_t t, int priority) {
  int policy;
  sched_param param{};
  if (int error = thread_getschedparam(t, &policy, &param)) return error;
  param.sched_priority = priority;
  return thread_setschedparam(t, policy, &param);
}

int thread_setaffinity(pthread_t t, size_t size, const cpu_set_t* cpus) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_setaffinity_np(t, size, cpus);
  if (ended(g)) return ESRCH;
  cpu_set_t wanted{};
  memcpy(&wanted, cpus, size < sizeof wanted ? size : sizeof wanted);
  bool all;
  if (!process_may_use(wanted, &all)) return EINVAL;
  if (all && (g->policy == nullptr || !g->policy->has_cpus)) return 0;
  KernelPolicy* p = policy_of(g);
  if (p == nullptr) return ENOMEM;
  p->has_cpus = true;
  p->cpus = wanted;
  return request(g);
}

int thread_getaffinity(pthread_t t, size_t size, cpu_set_t* cpus) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_getaffinity_np(t, size, cpus);
  if (ended(g)) return ESRCH;
  if (size < static_cast<size_t>(g_cpu_bytes)) return EINVAL;
  cpu_set_t have = g_process_cpus;
  if (g->policy != nullptr && g->policy->has_cpus) CPU_AND(&have, &have, &g->policy->cpus);
  memset(cpus, 0, size);
  memcpy(cpus, &have, size < sizeof have ? size : sizeof have);
  return 0;
}

}  // namespace mn
