// SPDX-License-Identifier: Apache-2.0
// Sending signals to threads, and to this process.
#include <errno.h>

#include "runtime/os/confined.h"
#include "runtime/os/real.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/fault.h"
#include "runtime/thread/note.h"
#include "runtime/thread/route.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/standin.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

siginfo_t sent_by_us(int sig, int code, const sigval* value) {
  siginfo_t info{};
  info.si_signo = sig;
  info.si_code = code;
  info.si_pid = own_pid();
  // With a value libc asks, too.
  if (value != nullptr || may_use(kQuestions)) info.si_uid = static_cast<uid_t>(raw_syscall(SYS_getuid));
  if (value != nullptr) info.si_value = *value;
  return info;
}

// To this kernel thread, which does not block it meanwhile, as the thread that it is for does not: what the kernel then
// does concerns the process, or nobody. By the calls that libc makes, so that filters of the program's allow them.
int send_to_process(int sig, const sigval* value) {
  const uint64_t set = bit(sig);
  const bool blocked = (self_g()->sigmask & set) != 0;
  // Outside, the stand-in stops the thread.
  const bool inside = stand_in_for(sig) == nullptr;
  if (inside) enter();
  const int ktid = this_g()->m.load(std::memory_order_relaxed)->ktid.load(std::memory_order_relaxed);
  if (blocked) sys_open_signal(sig);
  long error;
  if (value != nullptr) {
    siginfo_t queued = sent_by_us(sig, SI_QUEUE, value);
    error = raw_syscall(SYS_rt_tgsigqueueinfo, own_pid(), ktid, sig, sys_arg(&queued));
  } else {
    error = raw_syscall(SYS_tgkill, own_pid(), ktid, sig);
  }
  if (blocked) raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, sys_arg(&set), 0, sizeof set);
  if (inside) leave();
  return static_cast<int>(-error);
}

}  // namespace

int signal_thread(pthread_t t, int sig, const sigval* value) {
  G* g = thread_g(t);
  if (g == nullptr) return value != nullptr ? real.pthread_sigqueue(t, sig, *value) : real.pthread_kill(t, sig);
  if (ended(g)) return value != nullptr ? ESRCH : 0;  // as glibc since 2.34, whatever the signal
  if (sig < 0 || sig >= kSignals || sig == 32 || sig == 33) return EINVAL;
  if (sig == 0) return 0;
  bool blocked = (g->sigmask & bit(sig)) != 0;
  if (!signal_is_caught(sig) && !blocked && !signal_waited_for(g, sig)) return send_to_process(sig, value);
  siginfo_t info = sent_by_us(sig, value != nullptr ? SI_QUEUE : SI_TKILL, value);
  if (!note_signal(g, sig, &info, Sent::kToThread)) return EAGAIN;
  if (g == self_g()) {
    deliver_signals(g);
    return 0;
  }
  enter();
  signal_alert(g, sig);
  leave();
  return 0;
}

int signal_process(pid_t pid, int sig, const sigval* value) {
  G* g = this_g();
  if (sig <= 0 || sig >= kSignals || !signal_is_caught(sig) || may_be_probe(sig) || pid != own_pid()) return -1;
  if (g == nullptr || g->locks != 0 || in_vfork_child() || !sched.started.load(std::memory_order_relaxed)) return -1;
  siginfo_t info = sent_by_us(sig, value != nullptr ? SI_QUEUE : SI_USER, value);
  enter();
  int error = note_for_process(sig, &info);
  if (error == 0) {
    route_signals();
    wait_for_move();                                                                    // sysmon may have been faster
    if (held_signals.load(std::memory_order_relaxed) != 0) sched.sysmon_note.signal();  // to give it to the kernel
  }
  leave();
  return error;
}

int signal_raise(int sig) {
  bool noted = sig > 0 && sig < kSignals && sig != 32 && sig != 33 && (self_g()->sigmask & bit(sig)) != 0;
  // What is not blocked the kernel delivers here and now.
  return noted ? signal_thread(::pthread_self(), sig, nullptr) : real.raise(sig) == 0 ? 0 : errno;
}

// The M is told beforehand: where a filter of the program's takes pthread_kill's call only the mark cannot be made, and
// where too many signals are pending (RLIMIT_SIGPENDING) the kernel drops it.
void signal_poke(M* m, int sig) {
  int ktid = m->ktid.load(std::memory_order_relaxed);
  m->poked.fetch_or(bit(sig), std::memory_order_relaxed);  // the kernel orders it before the signal
  if (may_use(kMarkedSignals)) {
    siginfo_t info{};
    info.si_signo = sig;
    info.si_code = kPokeCode;
    info.si_pid = sys_getpid();
    if (!refused(raw_syscall(SYS_rt_tgsigqueueinfo, info.si_pid, ktid, sig, sys_arg(&info)))) return;
    means_lost.fetch_or(kMarkedSignals, std::memory_order_relaxed);
  }
  raw_syscall(SYS_tgkill, own_pid(), ktid, sig);
}

// That the M was poked is forgotten with the next signal of the number, which it may have been merged with.
bool is_poke(const siginfo_t* info) {
  G* g = this_g();
  M* m = g != nullptr ? g->m.load(std::memory_order_relaxed) : nullptr;
  uint64_t b = bit(info->si_signo);
  bool poked = m != nullptr && (m->poked.load(std::memory_order_relaxed) & b) != 0;
  if (poked) m->poked.fetch_and(~b, std::memory_order_relaxed);
  if (info->si_code == kPokeCode) return true;
  bool bare = info->si_code == SI_USER && info->si_pid == 0;
  return poked && (bare || (info->si_code == SI_TKILL && !may_use(kMarkedSignals)));
}

}  // namespace mn
