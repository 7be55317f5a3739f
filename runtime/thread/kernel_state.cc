// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/kernel_state.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {
namespace {

// Those that <sys/syscall.h> and <linux/prctl.h> of older systems lack.
constexpr long kIoUringSetup = 425, kIoUringRegister = 427, kLandlockRestrictSelf = 446, kLsmSetSelfAttr = 460;
constexpr int kPrSchedCore = 62, kPrIoFlusher = 57, kPrUserDispatch = 59;

bool read_user(void* to, long from, size_t size) {
  enter();
  bool copied = copy_memory(to, reinterpret_cast<const void*>(from), size);
  leave();
  return copied;
}

// linux/io_uring.h
bool ring_has_one_issuer(long params) {
  struct {
    uint32_t sq_entries, cq_entries, flags;
  } p;
  constexpr uint32_t kSingleIssuer = 1u << 12, kDeferTaskrun = 1u << 13;
  return read_user(&p, params, sizeof p) && (p.flags & (kSingleIssuer | kDeferTaskrun)) != 0;
}

bool ring_registers_thread(long opcode) {
  constexpr long kEnableRings = 12, kIowqAff = 17, kIowqMaxWorkers = 19, kRingFds = 20;
  return opcode == kEnableRings || opcode == kIowqAff || opcode == kIowqMaxWorkers || opcode == kRingFds;
}

// linux/keyctl.h
constexpr long kThreadKeyring = -1;

bool keyctl_is_own(const long a[5]) {
  constexpr long kJoinSession = 1, kSetReqkey = 14, kSessionToParent = 18;
  if (a[0] == kJoinSession || a[0] == kSetReqkey || a[0] == kSessionToParent) return true;
  for (int i = 1; i < 5; ++i)
    if (static_cast<int>(a[i]) == kThreadKeyring) return true;
  return false;
}

bool is_inheritable(long attr) {
  perf_event_attr a;
  return !read_user(&a, attr, PERF_ATTR_SIZE_VER0) || a.inherit != 0;
}

// Whose CPU time it counts, and whom it signals.
bool timer_is_callers(long clock, long event) {
  sigevent e;
  if (clock == CLOCK_THREAD_CPUTIME_ID) return true;
  return event != 0 && read_user(&e, event, sizeof e) && e.sigev_notify == SIGEV_THREAD_ID &&
         names_caller(e._sigev_un._tid);
}

Kept own_if(bool is) {
  return is ? Kept::kOwn : Kept::kProcess;
}
Kept bound_if(bool is) {
  return is ? Kept::kBound : Kept::kProcess;
}

}  // namespace

bool names_caller(long tid) {
  if (tid == 0 || tid == sys_gettid()) return true;
  // A thread that asked for its number may have moved since: by now that is no more than one between which Gs move.
  if (!sched.started.load(std::memory_order_relaxed)) return false;
  enter();
  bool found = false;
  {
    SpinGuard guard(sched.lock);
    for (const M* m = sched.all_ms; m != nullptr && !found; m = m->all_next)
      found = !m->wired && m->ktid.load(std::memory_order_relaxed) == tid;
  }
  leave();
  return found;
}

Kept prctl_kept(int option) {
  switch (option) {
    case PR_SET_SECCOMP:
    case PR_SET_NO_NEW_PRIVS:
    case PR_SET_KEEPCAPS:
    case PR_SET_SECUREBITS:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_SET_TIMERSLACK:
    case PR_SET_TSC:
    case PR_SET_TIMING:
    case PR_MCE_KILL:
    case PR_SET_SPECULATION_CTRL:
    case kPrIoFlusher:
    case kPrSchedCore:
      return Kept::kOwn;
    case PR_SET_PDEATHSIG:
    case PR_TASK_PERF_EVENTS_DISABLE:
    case PR_TASK_PERF_EVENTS_ENABLE:
    case kPrUserDispatch:
      return Kept::kBound;
    default:
      return Kept::kProcess;
  }
}

Kept arch_prctl_kept(long option) {
  constexpr long kSetGs = 0x1001, kSetCpuid = 0x1012, kShstkEnable = 0x5001;
  if (option == kSetGs || option == kSetCpuid) return Kept::kOwn;
  return option == kShstkEnable ? Kept::kDeclined : Kept::kProcess;
}

Kept syscall_kept(long nr, const long a[5]) {
  switch (nr) {
    case SYS_setuid:
    case SYS_setreuid:
    case SYS_setresuid:
    case SYS_setfsuid:
    case SYS_setgid:
    case SYS_setregid:
    case SYS_setresgid:
    case SYS_setfsgid:
    case SYS_setgroups:
    case SYS_capset:
    case SYS_unshare:
    case SYS_setns:
    case SYS_set_mempolicy:
    case SYS_ioperm:
    case SYS_iopl:
    case kLandlockRestrictSelf:
    case kLsmSetSelfAttr:
      return Kept::kOwn;
    case SYS_ptrace:
    case SYS_rseq:
    case SYS_set_robust_list:
    case SYS_set_tid_address:
      return Kept::kBound;
    case SYS_get_robust_list:
      return bound_if(a[0] == 0);
    case SYS_prctl:
      return prctl_kept(static_cast<int>(a[0]));
    case SYS_arch_prctl:
      return arch_prctl_kept(a[0]);
    case SYS_seccomp:
      return own_if(a[0] == SECCOMP_SET_MODE_STRICT ||
                    (a[0] == SECCOMP_SET_MODE_FILTER && (a[1] & SECCOMP_FILTER_FLAG_TSYNC) == 0));
    case SYS_personality:
      return own_if(static_cast<uint32_t>(a[0]) != 0xffffffff);
    case SYS_setpriority:
      return own_if(a[0] == PRIO_PROCESS && names_caller(a[1]));
    case SYS_ioprio_set: {
      constexpr long kWhoProcess = 1;
      return own_if(a[0] == kWhoProcess && names_caller(a[1]));
    }
    case SYS_sched_setattr:
    case SYS_sched_setscheduler:
    case SYS_sched_setparam:
    case SYS_sched_setaffinity:
      return own_if(names_caller(a[0]));
    case SYS_keyctl:
      return own_if(keyctl_is_own(a));
    case SYS_add_key:
      return own_if(static_cast<int>(a[4]) == kThreadKeyring);
    case SYS_request_key:
      return own_if(static_cast<int>(a[3]) == kThreadKeyring);
    case kIoUringSetup:
      return bound_if(ring_has_one_issuer(a[1]));
    case kIoUringRegister:
      return bound_if(ring_registers_thread(a[1]));
    case SYS_timer_create:
      return bound_if(timer_is_callers(a[0], a[1]));
    case SYS_perf_event_open:
      if (!names_caller(a[1])) return Kept::kProcess;
      return is_inheritable(a[0]) ? Kept::kOwn : Kept::kBound;
    default:
      return Kept::kProcess;
  }
}

int keep_kernel_state(Kept kept) {
  if (kept == Kept::kProcess || in_vfork_child()) return 0;
  if (kept == Kept::kDeclined) return EOPNOTSUPP;
  G* g = self_g();
  bool is_main = g == sched.main_g;
  if (is_main && kept == Kept::kOwn && main_is_alone()) return 0;
  thread_wire();
  if (kept == Kept::kOwn) g->particular = true;
  return 0;
}

}  // namespace mn
