// SPDX-License-Identifier: Apache-2.0
// syscall() and clone(): which of them we serve. Everything else goes to libc's function as if we were not there.
//
// What a system call changes that belongs to a G and not to the kernel thread that it is on must be changed for the G:
// its signal mask, its alternate stack, its end. gettid is not among it: like gettid(), it tells the kernel thread, and
// tkill and tgkill reach whoever runs there.
//
// A child of vfork, and a thread of a raw clone, may run with its creator's thread pointer, and so seem to be its G.
// The state of that G is not theirs: rare calls look who asks; frequent ones do so once such threads exist.
#include "shim/syscall.h"

#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "runtime/io/confine.h"
#include "runtime/os/kernel_action.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/futex.h"
#include "runtime/sync/interrupt.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/exec.h"
#include "runtime/thread/fork.h"
#include "runtime/thread/kernel_state.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/vfork.h"
#include "shim/wait.h"

using namespace mn;

namespace {

bool is_caller(const G* g) {
  return g->m.load(std::memory_order_relaxed)->ktid.load(std::memory_order_relaxed) == sys_gettid();
}

bool copy(void* to, const void* from, size_t size) {
  enter();
  bool copied = copy_memory(to, from, size);
  leave();
  return copied;
}
bool copy_in(void* to, long from, size_t size) {
  return copy(to, reinterpret_cast<const void*>(from), size);
}
bool copy_out(long to, const void* from, size_t size) {
  return copy(reinterpret_cast<void*>(to), from, size);
}

long pass(long nr, long a, long b, long c, long d, long e, long f) {
  return syscall_result(raw_syscall(nr, a, b, c, d, e, f));
}

// --- time

// Unlike nanosleep() no cancellation point. 0 or EINTR.
int sleep_through(const Deadline& deadline) {
  for (;;) {
    Interruption interruption(self_g());
    if (thread_sleep(deadline) != EINTR) return 0;
    if (interruption.ends_wait(false)) return EINTR;
  }
}

long sleep_relative(long request, long remaining, long nr, long a, long b, long c, long d, long e, long f) {
  timespec t;
  if (!copy_in(&t, request, sizeof t) || !valid_sleep(&t)) return pass(nr, a, b, c, d, e, f);
  Deadline deadline = after(timespec_ns(t));
  int error = sleep_through(deadline);
  if (error == 0) return 0;
  int64_t left = deadline.at - now_ns();
  t = ns_timespec(left > 0 ? left : 0);
  return syscall_result(remaining == 0 || copy_out(remaining, &t, sizeof t) ? -EINTR : -EFAULT);
}

long nanosleep_call(long nr, long request, long remaining, long c, long d, long e, long f) {
  if (!scheduled()) return pass(nr, request, remaining, c, d, e, f);
  return sleep_relative(request, remaining, nr, request, remaining, c, d, e, f);
}

long clock_nanosleep_call(long nr, long clock, long flags, long request, long remaining, long e, long f) {
  auto id = static_cast<clockid_t>(clock);
  if (!scheduled() || !valid_clock(id)) return pass(nr, clock, flags, request, remaining, e, f);
  if ((flags & TIMER_ABSTIME) == 0)
    return sleep_relative(request, remaining, nr, clock, flags, request, remaining, e, f);
  timespec t;
  if (!copy_in(&t, request, sizeof t) || !valid_sleep(&t)) return pass(nr, clock, flags, request, remaining, e, f);
  return syscall_result(-sleep_through(Deadline{id, timespec_ns(t)}));
}

long yield_call(long, long, long, long, long, long, long) {
  thread_yield();
  return 0;
}

// --- signals; a kernel's set of signals is the first 8 bytes of libc's

constexpr long kSetSize = 8;

long mask_call(long nr, long how, long set, long old, long size, long e, long f) {
  if (size != kSetSize) return pass(nr, how, set, old, size, e, f);
  sigset_t wanted{}, was;
  if (set != 0 && !copy_in(&wanted, set, kSetSize)) return syscall_result(-EFAULT);
  int error = signal_mask(static_cast<int>(how), set != 0 ? &wanted : nullptr, &was);
  if (error == 0 && old != 0 && !copy_out(old, &was, kSetSize)) error = EFAULT;
  return syscall_result(-error);
}

long action_call(long nr, long sig, long action, long old, long size, long e, long f) {
  bool libcs = sig == 32 || sig == 33;
  if (size != kSetSize || libcs) return pass(nr, sig, action, old, size, e, f);
  KernelAction k{};
  struct sigaction wanted {};
  struct sigaction was;
  if (action != 0) {
    if (!copy_in(&k, action, sizeof k)) return syscall_result(-EFAULT);
    wanted.sa_handler = reinterpret_cast<void (*)(int)>(k.handler);
    wanted.sa_flags = static_cast<int>(k.flags & ~kRestorer);
    memcpy(&wanted.sa_mask, &k.mask, sizeof k.mask);
  }
  int error = signal_action(static_cast<int>(sig), action != 0 ? &wanted : nullptr, &was);
  if (error != 0 || old == 0) return syscall_result(-error);
  k = {reinterpret_cast<void*>(was.sa_handler), static_cast<unsigned>(was.sa_flags), nullptr, 0};
  memcpy(&k.mask, &was.sa_mask, sizeof k.mask);
  return syscall_result(copy_out(old, &k, sizeof k) ? 0 : -EFAULT);
}

long altstack_call(long, long stack, long old, long, long, long, long) {
  return errno_result(signal_stack(reinterpret_cast<const stack_t*>(stack), reinterpret_cast<stack_t*>(old)));
}

// --- threads and processes

// What Linux keeps for each thread (thread/kernel_state.h). The arguments are looked at twice, as natively by the
// kernel alone: a program that changes them meanwhile gets one or the other.
long own_call(long nr, long a, long b, long c, long d, long e, long f) {
  const long args[] = {a, b, c, d, e};
  if (int error = keep_kernel_state(syscall_kept(nr, args))) return syscall_result(-error);
  return pass(nr, a, b, c, d, e, f);
}

// As the function, which knows names and what is kept.
long prctl_call(long, long option, long a, long b, long c, long d, long) {
  return prctl_as_thread(static_cast<int>(option), a, b, c, d);
}

long exec_call(long nr, long a, long b, long c, long d, long e, long f) {
  return executed([=] { return static_cast<int>(pass(nr, a, b, c, d, e, f)); });
}

// The kernel writes there until it is told, or its thread ends.
long rseq_call(long nr, long area, long size, long flags, long signature, long e, long f) {
  keep_kernel_state(Kept::kBound);
  long result = pass(nr, area, size, flags, signature, e, f);
  if (result == 0)
    self_g()->rseq =
        flags == 0 ? Rseq{reinterpret_cast<void*>(area), static_cast<uint32_t>(size), static_cast<uint32_t>(signature)}
                   : Rseq{};
  return result;
}

// Filters of the program's; prctl(2) can install one, too.
long seccomp_call(long nr, long operation, long flags, long filter, long d, long e, long f) {
  const long args[] = {operation, flags, filter, d, e};
  keep_kernel_state(syscall_kept(nr, args));
  if (operation == SECCOMP_SET_MODE_FILTER) confine_by(reinterpret_cast<const sock_fprog*>(filter));
  return pass(nr, operation, flags, filter, d, e, f);
}

long exit_call(long, long status, long, long, long, long, long) {
  thread_exit_raw(static_cast<int>(status));
}

bool may_end(const G* g) {
  return sched.started.load(std::memory_order_relaxed) && !(g->wired && g->slot == nullptr);
}

// Copies the process; both go on from here, each in memory of its own.
long fork_call(long nr, long a, long b, long c, long d, long e, long f) {
  return syscall_result(forked_by([=] { return raw_syscall(nr, a, b, c, d, e, f); }));
}

// A new thread or process in this memory. Without a thread pointer of its own it passes for its creator.
void note_clone(uint64_t flags) {
  if ((flags & CLONE_VM) != 0 && (flags & (CLONE_VFORK | CLONE_SETTLS)) == 0) ufutex_leave_to_kernel();
}

SystemCall* clone_target(uint64_t flags, bool own_stack) {
  note_clone(flags);
  return (flags & CLONE_VM) == 0 && !own_stack ? fork_call : nullptr;
}

SystemCall* clone3_target(long args) {
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack;
  } c;
  return copy_in(&c, args, sizeof c) ? clone_target(c.flags, c.stack != 0) : nullptr;
}

// Those that change the G of the caller, or need it. Null: libc's.
SystemCall* target_for(const G* g, long nr, long a, long b) {
  switch (nr) {
    case SYS_nanosleep:
      return nanosleep_call;
    case SYS_clock_nanosleep:
      return clock_nanosleep_call;
    case SYS_rt_sigprocmask:
      return mask_call;
    case SYS_rt_sigaction:
      return action_call;
    case SYS_sigaltstack:
      return altstack_call;
    case SYS_rseq:
      return rseq_call;
    case SYS_seccomp:
      return seccomp_call;
    case SYS_exit:
      return may_end(g) ? exit_call : nullptr;
    case SYS_execve:
    case SYS_execveat:
      return exec_call;
    case SYS_fork:
      return fork_call;
    case SYS_clone:
      return clone_target(static_cast<uint64_t>(a), b != 0);
    case SYS_clone3:
      return clone3_target(a);
    default:
      return nullptr;
  }
}

SystemCall* target(long nr, const long args[5]) {
  const long a = args[0], b = args[1];
  switch (nr) {
    case SYS_futex:
      return futex_call;
    case kSysFutexWaitv:
      return futex_waitv_call;
    case kSysFutexWake:
      return futex_wake_call;
    case kSysFutexWait:
      return futex_wait_call;
    case kSysFutexRequeue:
      return futex_requeue_call;
    case SYS_sched_yield:
      return yield_call;
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigaction:
    case SYS_sigaltstack:
    case SYS_rseq:
    case SYS_seccomp:
    case SYS_exit:
    case SYS_execve:
    case SYS_execveat:
    case SYS_fork:
    case SYS_clone:
    case SYS_clone3:
      return is_caller(self_g()) ? target_for(self_g(), nr, a, b) : nullptr;
    case SYS_prctl:
      return is_caller(self_g()) ? prctl_call : nullptr;
    default:
      if (SystemCall* call = signal_call(nr)) return call;
      if (SystemCall* call = descriptor_call(nr, b)) return call;
      return syscall_kept(nr, args) != Kept::kProcess && is_caller(self_g()) ? own_call : nullptr;
  }
}

// --- clone() of a process, whose child begins on another stack

struct Start {
  int (*fn)(void*);
  void* arg;
};

int start_process(void* p) {
  Start start = *static_cast<Start*>(p);  // on the parent's stack, of which this process has a copy
  fork_child();
  return start.fn(start.arg);
}

int clone_process(int (*fn)(void*), void* stack, int flags, void* arg, void* parent_tid, void* tls, void* child_tid) {
  Start start{fn, arg};
  return forked_by([=, &start] { return real.clone(start_process, stack, flags, &start, parent_tid, tls, child_tid); });
}

// --- clone() of a child that runs in this memory, with this thread's pointer, while the thread waits: a vfork

struct VforkStart {
  Start start;
  uint64_t mask;
};

int start_vforked(void* p) {
  auto* v = static_cast<VforkStart*>(p);
  vfork_child(v->mask);
  return v->start.fn(v->start.arg);
}

int clone_vforked(int (*fn)(void*), void* stack, int flags, void* arg, void* parent_tid, void* tls, void* child_tid) {
  bool by_a_child;
  VforkStart v{{fn, arg}, vfork_prepare(&by_a_child)};
  int child = real.clone(start_vforked, stack, flags, &v, parent_tid, tls, child_tid);
  int error = errno;
  vfork_parent(v.mask, by_a_child, child);
  errno = error;
  return child;
}

}  // namespace

// For syscall_x86_64.S.
extern "C" {

MN_HIDDEN void* mn_syscall_target(long nr, long a, long b, long c, long d, long e) {
  const long args[] = {a, b, c, d, e};
  SystemCall* call = on() ? target(nr, args) : nullptr;
  if (call == nullptr) return reinterpret_cast<void*>(real.syscall);
  if (MN_UNLIKELY(ufutex_left_to_kernel()) && this_g() != nullptr && !is_caller(this_g()))
    return reinterpret_cast<void*>(real.syscall);
  return reinterpret_cast<void*>(call);
}

MN_HIDDEN void* mn_clone_target(int (*fn)(void*), void* stack, int flags) {
  if (!on()) return reinterpret_cast<void*>(real.clone);
  note_clone(static_cast<unsigned>(flags));
  bool valid = fn != nullptr && stack != nullptr;
  constexpr int kVfork = CLONE_VM | CLONE_VFORK;
  if (valid && (flags & (kVfork | CLONE_SETTLS | CLONE_THREAD)) == kVfork)
    return reinterpret_cast<void*>(clone_vforked);
  bool process = (flags & CLONE_VM) == 0 && valid;
  return process ? reinterpret_cast<void*>(clone_process) : reinterpret_cast<void*>(real.clone);
}
}
