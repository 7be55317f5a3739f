// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sync/usermem.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/attr.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {
namespace {

// Of the process when its first thread was made: later, the first kernel thread may be some G's.
constinit cpu_set_t g_process_cpus{};
constinit int g_process_policy = SCHED_OTHER;
constinit sched_param g_process_param{};

// Null: out of memory.
KernelPolicy* new_policy() {
  void* memory = map_memory(kPageSize);
  return memory != nullptr ? new (memory) KernelPolicy : nullptr;
}

// The same. Freed when the thread ends.
KernelPolicy* policy_of(G* g) {
  if (g->policy == nullptr) g->policy = new_policy();
  return g->policy;
}

bool is_real_time(int policy) {
  return policy == SCHED_FIFO || policy == SCHED_RR;
}

int set_policy(int policy, const sched_param* param) {
  return static_cast<int>(-raw_syscall(SYS_sched_setscheduler, 0, policy, sys_arg(param)));
}

// Whether the kernel lets a thread of this process have it: 0, EPERM or EINVAL. The calling kernel thread tries it and
// goes back. One of a real-time policy may have less in any case, and might not be let back (sched(7)). Rejected: a
// kernel thread of the runtime's, for others may inherit what it has for a moment (the creator), or wait for a lock
// that it took (sysmon).
int grant_policy(int policy, const sched_param* param) {
  enter();
  auto before = static_cast<int>(raw_syscall(SYS_sched_getscheduler, 0));
  sched_param param_before{};
  raw_syscall(SYS_sched_getparam, 0, sys_arg(&param_before));
  bool less = is_real_time(before) && (!is_real_time(policy) || param->sched_priority <= param_before.sched_priority);
  int error = less ? 0 : set_policy(policy, param);
  if (!less && error == 0) set_policy(before, &param_before);
  leave();
  return error;
}

// The same of CPUs, of which it leaves those that such a thread would have.
int grant_cpus(cpu_set_t* cpus) {
  enter();
  cpu_set_t before{};
  raw_syscall(SYS_sched_getaffinity, 0, sizeof before, sys_arg(&before));
  auto error = static_cast<int>(-raw_syscall(SYS_sched_setaffinity, 0, sizeof *cpus, sys_arg(cpus)));
  if (error == 0) {
    CPU_ZERO(cpus);
    raw_syscall(SYS_sched_getaffinity, 0, sizeof *cpus, sys_arg(cpus));
    raw_syscall(SYS_sched_setaffinity, 0, sizeof before, sys_arg(&before));
  }
  leave();
  return error;
}

bool are_plain(const cpu_set_t& cpus) {
  return CPU_EQUAL(&cpus, &g_process_cpus) != 0;
}

// What every thread has that asked for nothing.
bool is_plain(int policy, const sched_param& param) {
  return policy == g_process_policy && param.sched_priority == g_process_param.sched_priority;
}

// What a kernel thread that libmn did not make has.
void read_kernel_policy(KernelPolicy* p) {
  p->policy = static_cast<int>(raw_syscall(SYS_sched_getscheduler, 0));
  raw_syscall(SYS_sched_getparam, 0, sys_arg(&p->param));
  p->has_policy = !is_plain(p->policy, p->param);
  p->has_cpus = raw_syscall(SYS_sched_getaffinity, 0, sizeof p->cpus, sys_arg(&p->cpus)) > 0 && !are_plain(p->cpus);
}

void read_attr_cpus(const pthread_attr_t* attr, KernelPolicy* p) {
  cpu_set_t cpus;
  memset(&cpus, 0xff, sizeof cpus);
  real.pthread_attr_getaffinity_np(attr, sizeof cpus, &cpus);
  // All ones: none was set, or all were, which is no news either.
  const auto* bytes = reinterpret_cast<const unsigned char*>(&cpus);
  for (size_t i = 0; i < sizeof cpus; ++i)
    if (bytes[i] != 0xff) {
      p->has_cpus = true;
      p->cpus = cpus;
      return;
    }
}

bool valid_policy(int policy, int priority) {
  switch (policy & ~SCHED_RESET_ON_FORK) {
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

void tell_creator(KernelPolicy* p) {
  bool* applied = p->applied;
  p->applied = nullptr;
  enter();
  Bucket* b = bucket_of(applied);
  b->lock.lock();
  *applied = true;  // the creator reads it, and leaves the frame that it is in, only with this lock
  G* creator = take_waiter(b, applied);
  b->lock.unlock();
  if (creator != nullptr) ready(creator);
  leave();
}

// Main, before the first thread is made: what it asks for is what all will have that ask for nothing else, and what the
// kernel gives to every kernel thread of the runtime.
bool alone() {
  return !sched.started.load(std::memory_order_relaxed);
}

}  // namespace

Told told_of(const G* g) {
  const TcbLayout& l = tcb_layout;
  return {tcb_at<int>(g->tp, l.flags) & kFlagsSchedulingTold, tcb_at<int>(g->tp, l.schedpolicy),
          tcb_at<sched_param>(g->tp, l.schedparam)};
}

// What the last thread there was told is of no meaning, but pthread_getattr_np would tell it. Where neither was told
// anything, that cache line is left alone.
void tell(G* g, const Told& told) {
  const TcbLayout& l = tcb_layout;
  int& flags = tcb_at<int>(g->tp, l.flags);
  const int before = flags & kFlagsSchedulingTold;
  flags = (flags & ~kFlagsSchedulingTold) | told.flags;
  if (MN_LIKELY((before | told.flags) == 0)) return;
  tcb_at<int>(g->tp, l.schedpolicy) = told.policy;
  tcb_at<sched_param>(g->tp, l.schedparam) = told.param;
}

void policy_init() {
  const int pid = own_pid();
  g_process_policy = static_cast<int>(raw_syscall(SYS_sched_getscheduler, pid));
  raw_syscall(SYS_sched_getparam, pid, sys_arg(&g_process_param));
  raw_syscall(SYS_sched_getaffinity, pid, sizeof g_process_cpus, sys_arg(&g_process_cpus));
}

void apply_policy(G* g) {
  KernelPolicy* p = g->policy;
  if (p == nullptr && !g->particular) return;
  thread_wire();
  if (p == nullptr) return;
  if (p->has_policy && set_policy(p->policy, &p->param) == 0)
    g->priority = static_cast<uint8_t>(p->param.sched_priority);
  if (p->has_cpus) raw_syscall(SYS_sched_setaffinity, 0, sizeof p->cpus, sys_arg(&p->cpus));
  if (p->applied != nullptr) tell_creator(p);
}

void forget_policy(G* g) {
  free_policy(g->policy);
  g->policy = nullptr;
  g->priority = 0;
}

namespace {

// As glibc: what the object has not, is the creator's; what that has not, the kernel is asked for.
Told told_by(const pthread_attr_t* attr, Told told) {
  int set = attr_scheduling(attr);
  if (set == 0) return told;
  Told kernels{kFlagsSchedulingTold, g_process_policy, g_process_param};
  if (told.flags != kFlagsSchedulingTold) told = kernels;
  if ((set & kFlagPolicySet) != 0) real.pthread_attr_getschedpolicy(attr, &told.policy);
  if ((set & kFlagParamSet) != 0) real.pthread_attr_getschedparam(attr, &told.param);
  return told;
}

}  // namespace

int policy_for_new(G* creator, const pthread_attr_t* attr, NewPolicy* out) {
  out->told = told_of(creator);
  bool adopted = creator->wired && creator->slot == nullptr && creator != sched.main_g;
  if (MN_LIKELY(attr == nullptr && creator->policy == nullptr && !adopted)) return 0;
  KernelPolicy wanted;
  if (adopted || (creator->policy != nullptr && is_kernels(creator)))
    read_kernel_policy(&wanted);
  else if (creator->policy != nullptr)
    wanted = *creator->policy;
  if (attr != nullptr) {
    read_attr_cpus(attr, &wanted);
    if (wanted.has_cpus) {
      if (int error = grant_cpus(&wanted.cpus)) return error;
      wanted.has_cpus = !are_plain(wanted.cpus);
    }
    int inherit = PTHREAD_INHERIT_SCHED;
    real.pthread_attr_getinheritsched(attr, &inherit);
    if (inherit == PTHREAD_EXPLICIT_SCHED) {
      out->told = told_by(attr, out->told);
      wanted.policy = out->told.policy;
      wanted.param = out->told.param;
      wanted.has_policy = !is_plain(wanted.policy, wanted.param);
      if (wanted.has_policy) {
        if (int error = grant_policy(wanted.policy, &wanted.param)) return error;
      }
    }
  }
  if (!wanted.has_policy && !wanted.has_cpus) return 0;
  out->kernel = new_policy();
  if (out->kernel == nullptr) return EAGAIN;
  *out->kernel = wanted;
  return 0;
}

void free_policy(KernelPolicy* policy) {
  if (policy != nullptr) unmap_memory(policy, kPageSize);
}

bool start_on_kernel_thread(G* g, KernelPolicy* policy) {
  bool applied = policy == nullptr;
  if (policy != nullptr) policy->applied = &applied;
  g->policy = policy;
  g->sigpend.fetch_or(kPolicyBit, std::memory_order_relaxed);  // what follows publishes it
  if (g->particular) {
    if (!run_on_clone(g)) return false;
    enter();
  } else {
    enter();
    run_on_new_m(g);
  }
  while (wait_if(&applied, {}, [&] { return !applied; }) == EINTR) {
    leave();
    enter();
  }
  leave();
  return true;
}

namespace {

// Inside a kernel thread that is g's, or before there are other threads.
int set_kernels(G* g, int policy, const sched_param* param, bool by_libc) {
  if (by_libc) return real.pthread_setschedparam(thread_of(g), policy, param);
  return static_cast<int>(-raw_syscall(SYS_sched_setscheduler, tcb_tid(g->tp), policy, sys_arg(param)));
}

int change_policy(G* g, int policy, const sched_param* param, bool by_libc) {
  if (!valid_policy(policy, param->sched_priority)) return EINVAL;
  if (alone()) {
    const int error = set_kernels(g, policy, param, by_libc);
    if (error == 0) g_process_policy = policy, g_process_param = *param;
    return error;
  }
  const Told told{kFlagsSchedulingTold, policy, *param};
  if (!is_kernels(g) && g->policy == nullptr && is_plain(policy, *param)) {
    if (by_libc) tell(g, told);
    return 0;
  }
  KernelPolicy* p = policy_of(g);
  if (p == nullptr) return ENOMEM;
  if (g == self_g()) thread_wire();
  const bool now = is_kernels(g);
  if (int error = now ? set_kernels(g, policy, param, by_libc) : grant_policy(policy, param)) return error;
  p->has_policy = true;
  p->policy = policy;
  p->param = *param;
  if (now) {
    g->priority = static_cast<uint8_t>(param->sched_priority);
    return 0;
  }
  if (by_libc) tell(g, told);
  return request(g);
}

}  // namespace

int thread_setschedparam(pthread_t t, int policy, const sched_param* param) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_setschedparam(t, policy, param);
  return ended(g) ? ESRCH : change_policy(g, policy, param, true);
}

int thread_getschedparam(pthread_t t, int* policy, sched_param* param) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_getschedparam(t, policy, param);
  if (ended(g)) return ESRCH;
  if (alone() || is_kernels(g)) return real.pthread_getschedparam(t, policy, param);
  Told told = told_of(g);
  if (told.flags != kFlagsSchedulingTold) {
    told.flags = kFlagsSchedulingTold;
    thread_getscheduler(g, &told.policy, &told.param);
    tell(g, told);
  }
  *policy = told.policy;
  *param = told.param;
  return 0;
}

int thread_setschedprio(pthread_t t, int priority) {
  if (alone()) return real.pthread_setschedprio(t, priority);  // one call; policy_init() sees what it did
  int policy;
  sched_param param{};
  if (int error = thread_getschedparam(t, &policy, &param)) return error;
  param.sched_priority = priority;
  return thread_setschedparam(t, policy, &param);
}

int thread_setscheduler(G* g, int policy, const sched_param* param) {
  return change_policy(g, policy, param, false);
}

int thread_getscheduler(G* g, int* policy, sched_param* param) {
  if (alone() || is_kernels(g)) {
    long tid = tcb_tid(g->tp);
    long answer = raw_syscall(SYS_sched_getscheduler, tid);
    if (answer < 0) return static_cast<int>(-answer);
    *policy = static_cast<int>(answer);
    return static_cast<int>(-raw_syscall(SYS_sched_getparam, tid, sys_arg(param)));
  }
  const bool own = g->policy != nullptr && g->policy->has_policy;
  *policy = own ? g->policy->policy : g_process_policy;
  *param = own ? g->policy->param : g_process_param;
  return 0;
}

int thread_setaffinity(pthread_t t, size_t size, const cpu_set_t* cpus) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_setaffinity_np(t, size, cpus);
  if (ended(g)) return ESRCH;
  cpu_set_t wanted{};
  enter();
  bool good = copy_memory(&wanted, cpus, size < sizeof wanted ? size : sizeof wanted);
  leave();
  if (!good) return EFAULT;
  if (alone()) {
    int error = real.pthread_setaffinity_np(t, size, cpus);
    if (error == 0) policy_init();
    return error;
  }
  if (int error = grant_cpus(&wanted)) return error;
  if (are_plain(wanted) && (g->policy == nullptr || !g->policy->has_cpus)) return 0;
  KernelPolicy* p = policy_of(g);
  if (p == nullptr) return ENOMEM;
  p->has_cpus = true;
  p->cpus = wanted;
  return request(g);
}

// The kernel judges the size and the address. What it answers of this kernel thread is true of each that has no CPUs of
// its own, and live: another process may have changed it.
int thread_getaffinity(pthread_t t, size_t size, cpu_set_t* cpus) {
  G* g = thread_g(t);
  if (g == nullptr) return real.pthread_getaffinity_np(t, size, cpus);
  if (ended(g)) g = self_g();  // as glibc, whose id for it is 0 by now
  const bool kernels = is_kernels(g);
  if (size > INT_MAX) size = INT_MAX;
  long n = raw_syscall(SYS_sched_getaffinity, kernels ? tcb_tid(g->tp) : 0, static_cast<long>(size), sys_arg(cpus));
  if (n < 0) return static_cast<int>(-n);
  memset(reinterpret_cast<char*>(cpus) + n, 0, size - static_cast<size_t>(n));
  const cpu_set_t* own = g->policy != nullptr && g->policy->has_cpus ? &g->policy->cpus : nullptr;
  if (own == nullptr && self_g()->wired) own = &g_process_cpus;
  if (!kernels && own != nullptr)
    memcpy(cpus, own, static_cast<size_t>(n) < sizeof *own ? static_cast<size_t>(n) : sizeof *own);
  return 0;
}

}  // namespace mn
