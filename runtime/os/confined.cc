// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/confined.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "runtime/os/futex.h"
#include "runtime/os/syscall.h"

namespace mn {

constinit std::atomic<uint32_t> means_lost{0};

namespace {

// A call as libmn makes it. Arguments that no filter can know beforehand (addresses, descriptors) are 0.
struct Use {
  Means means;
  int nr;
  uint64_t args[6];
};

constexpr uint64_t kRegister = MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, kFence = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
constexpr uint64_t kAll = ~uint64_t{0};

constexpr Use kUses[] = {
    {kReadiness, SYS_preadv2, {0, 0, 1, kAll, kAll, RWF_NOWAIT}},
    {kReadiness, SYS_pwritev2, {0, 0, 1, kAll, kAll, RWF_NOWAIT}},
    {kReadiness, SYS_recvfrom, {0, 0, 0, MSG_DONTWAIT}},
    {kReadiness, SYS_recvmsg, {0, 0, MSG_DONTWAIT}},
    {kReadiness, SYS_sendto, {0, 0, 0, MSG_DONTWAIT}},
    {kReadiness, SYS_sendmsg, {0, 0, MSG_DONTWAIT}},
    {kReadiness, SYS_poll, {0, 1}},
    {kReadiness, SYS_fstat, {}},
    {kReadiness, SYS_fcntl, {0, F_GETFL}},
    {kReadiness, SYS_fcntl, {0, F_DUPFD_CLOEXEC}},
    {kReadiness, SYS_getsockopt, {0, SOL_SOCKET, SO_TYPE}},
    {kReadiness, SYS_epoll_create1, {EPOLL_CLOEXEC}},
    {kReadiness, SYS_eventfd2, {0, EFD_CLOEXEC | EFD_NONBLOCK}},
    {kReadiness, SYS_epoll_ctl, {0, EPOLL_CTL_ADD}},
    {kReadiness, SYS_epoll_ctl, {0, EPOLL_CTL_MOD}},
    {kReadiness, SYS_epoll_pwait2, {}},
    {kReadiness, SYS_write, {}},
    {kReadiness, SYS_close, {}},
    {kReadiness, SYS_prlimit64, {0, RLIMIT_NOFILE}},
    {kMembarrier, SYS_membarrier, {kRegister}},
    {kMembarrier, SYS_membarrier, {kFence}},
    {kSignalling, SYS_timer_create, {}},
    {kSignalling, SYS_timer_settime, {}},
    {kSignalling, SYS_timer_delete, {}},
    {kSignalling, SYS_rt_sigaction, {33}},
    {kSignalling, SYS_rt_tgsigqueueinfo, {0, 0, 33}},
    {kSignalling, SYS_getpid, {}},
    {kSignalling, SYS_rt_sigreturn, {}},
    {kProc, SYS_openat, {static_cast<uint64_t>(AT_FDCWD), 0, O_RDONLY | O_CLOEXEC}},
    {kProc, SYS_pread64, {}},
    {kProc, SYS_read, {}},
    {kProc, SYS_close, {}},
    {kProc, SYS_close_range, {}},
    {kThreadClocks, SYS_clock_gettime, {static_cast<uint64_t>(CLOCK_THREAD_CPUTIME_ID)}},
    {kYield, SYS_sched_yield, {}},
    {kAdvice, SYS_madvise, {0, 0, MADV_DONTNEED}},
    {kAdvice, SYS_madvise, {0, 0, MADV_NOHUGEPAGE}},
    {kAdvice, SYS_madvise, {0, 0, 102 /* MADV_GUARD_INSTALL */}},
    {kQuestions, SYS_mincore, {}},
    {kQuestions, SYS_prlimit64, {0, RLIMIT_AS}},
    {kQuestions, SYS_prctl, {PR_GET_NAME}},
    {kQuestions, SYS_prctl, {PR_SET_NAME}},
    {kQuestions, SYS_getuid, {}},
    {kQuestions, SYS_gettid, {}},
    {kQuestions, SYS_get_robust_list, {}},
    {kQuestions, SYS_sched_getscheduler, {}},
    {kQuestions, SYS_sched_getparam, {}},
    {kQuestions, SYS_sched_getaffinity, {}},
    {kQuestions, SYS_rt_sigtimedwait, {}},
    {kOutput, SYS_fstat, {}},
    {kOutput, SYS_write, {2}},
    {kOutput, SYS_poll, {0, 1}},
    {kOutput, SYS_rt_sigaction, {SIGQUIT}},
    {kMarkedSignals, SYS_rt_tgsigqueueinfo, {0, 0, SIGUSR1}},
    {kMarkedSignals, SYS_getpid, {}},
    {kReturns, SYS_rt_sigreturn, {}},
    {kHolding, SYS_rt_sigqueueinfo, {0, SIGUSR1}},
    {kHolding, SYS_getpid, {}},
    {kStacks, SYS_sigaltstack, {}},
};

constexpr uint64_t kReadWrite = PROT_READ | PROT_WRITE, kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr uint64_t kCloneFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |
                                 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

// Of libc's pthread_create. The first two it does without where they are refused.
constexpr Use kOfThreads[] = {
    {kThreads, SYS_rseq, {}},
    {kThreads, SYS_set_robust_list, {}},
    {kThreads, SYS_mmap, {0, 0, kReadWrite, kPrivate | MAP_NORESERVE, kAll}},
    {kThreads, SYS_mmap, {0, 0, PROT_NONE, kPrivate | MAP_STACK, kAll}},
    {kThreads, SYS_mprotect, {0, 0, kReadWrite}},
    {kThreads, SYS_mprotect, {0, 0, PROT_NONE}},
    {kThreads, SYS_clone3, {}},
};
constexpr Use kClone{kThreads, SYS_clone, {kCloneFlags}};

seccomp_data call_of(const Use& use) {
  seccomp_data call{};
  call.nr = use.nr;
  call.arch = AUDIT_ARCH_X86_64;
  call.instruction_pointer = reinterpret_cast<uintptr_t>(means_taken_by);
  for (int i = 0; i < 6; ++i) call.args[i] = use.args[i];
  return call;
}

uint32_t action_of(uint32_t returned) {
  return returned & SECCOMP_RET_ACTION_FULL;
}

bool allows(uint32_t returned) {
  return action_of(returned) == SECCOMP_RET_ALLOW || action_of(returned) == SECCOMP_RET_LOG;
}

uint32_t threads_taken_by(const sock_filter* filter, unsigned count) {
  uint32_t taken = 0;
  for (const Use& use : kOfThreads) {
    uint32_t returned = filter_returns(filter, count, call_of(use));
    // libc then makes the other call.
    if (use.nr == SYS_clone3 && returned == (SECCOMP_RET_ERRNO | ENOSYS))
      returned = filter_returns(filter, count, call_of(kClone));
    const bool refuses = action_of(returned) == SECCOMP_RET_ERRNO;
    if (allows(returned) || (refuses && (use.nr == SYS_rseq || use.nr == SYS_set_robust_list))) continue;
    taken |= kThreads;
    if (!refuses) taken |= use.nr == SYS_mmap ? kTrials | kMemory : kTrials;
  }
  return taken;
}

uint32_t compute(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_MUL:
      return a * b;
    case BPF_DIV:
      return b != 0 ? a / b : 0;
    case BPF_MOD:
      return b != 0 ? a % b : 0;
    case BPF_OR:
      return a | b;
    case BPF_AND:
      return a & b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return b < 32 ? a << b : 0;
    case BPF_RSH:
      return b < 32 ? a >> b : 0;
    default:
      return 0 - a;  // BPF_NEG
  }
}

bool holds(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_JEQ:
      return a == b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) != 0;  // BPF_JSET
  }
}

struct Machine {
  uint32_t a = 0, x = 0;
  uint32_t memory[BPF_MEMWORDS] = {};
  const seccomp_data* data;

  uint32_t load(const sock_filter& f) const {
    switch (BPF_MODE(f.code)) {
      case BPF_ABS: {
        uint32_t word = 0;
        if (f.k + sizeof word <= sizeof *data) memcpy(&word, reinterpret_cast<const char*>(data) + f.k, sizeof word);
        return word;
      }
      case BPF_LEN:
        return sizeof *data;
      case BPF_MEM:
        return memory[f.k % BPF_MEMWORDS];
      default:
        return f.k;
    }
  }

  // What is not a jump or a return.
  void step(const sock_filter& f) {
    switch (BPF_CLASS(f.code)) {
      case BPF_LD:
        a = load(f);
        break;
      case BPF_LDX:
        x = load(f);
        break;
      case BPF_ST:
        memory[f.k % BPF_MEMWORDS] = a;
        break;
      case BPF_STX:
        memory[f.k % BPF_MEMWORDS] = x;
        break;
      case BPF_ALU:
        a = compute(BPF_OP(f.code), a, BPF_SRC(f.code) == BPF_X ? x : f.k);
        break;
      default:
        (BPF_MISCOP(f.code) == BPF_TAX ? x : a) = BPF_MISCOP(f.code) == BPF_TAX ? a : x;
    }
  }
};

}  // namespace

uint32_t filter_returns(const sock_filter* filter, unsigned count, const seccomp_data& call) {
  Machine machine;
  machine.data = &call;
  for (unsigned at = 0; at < count; ++at) {
    const sock_filter& f = filter[at];
    if (BPF_CLASS(f.code) == BPF_RET) return BPF_RVAL(f.code) == BPF_A ? machine.a : f.k;
    if (BPF_CLASS(f.code) != BPF_JMP)
      machine.step(f);
    else if (BPF_OP(f.code) == BPF_JA)
      at += f.k;
    else
      at += holds(BPF_OP(f.code), machine.a, BPF_SRC(f.code) == BPF_X ? machine.x : f.k) ? f.jt : f.jf;
  }
  return SECCOMP_RET_ALLOW;
}

bool filter_allows(const sock_filter* filter, unsigned count, const seccomp_data& call) {
  return allows(filter_returns(filter, count, call));
}

uint32_t means_taken_by(const sock_filter* filter, unsigned count) {
  uint32_t taken = 0;
  for (const Use& use : kUses)
    if (!allows(filter_returns(filter, count, call_of(use)))) taken |= use.means;
  return taken | threads_taken_by(filter, count);
}

void yield_cpu() {
  constexpr int64_t kWhile = 20'000;  // ns
  if (may_use(kYield) && !refused(raw_syscall(SYS_sched_yield))) return;
  static constinit std::atomic<uint32_t> never{0};
  timespec relative{0, kWhile};
  raw_syscall(SYS_futex, sys_arg(&never), FUTEX_WAIT_PRIVATE, 0, sys_arg(&relative));
}

}  // namespace mn
