// SPDX-License-Identifier: Apache-2.0
// Preemption. sysmon asks; a signal interrupts the M; its handler injects a call (arch/inject.h) into the program's
// code, and that call yields. The handler itself never switches.
//
// The signal is 33, libc's SIGSETXID: programs can neither block nor see it. libc's handler for it stays in the chain,
// and gets everything that is not from us: setuid and its family send it to every kernel thread that libc knows, until
// each has noted in its TCB that it has changed its credentials. So it must find the TCB that was asked, as a rule the
// M's, not that of a G (libc would take the other for one that never answers, and ask for ever). Hence the signal is
// ours even without preemption.
//
// It is sent by a CPU-time timer of the M (timer_create on the thread's clock), and not by tgkill, for two reasons that
// were measured. The kernel runs such a timer from task work, on the way back to user mode: a system call that is about
// to sleep is not interrupted, and there is no EINTR that the program would not see natively. tgkill after a look at
// /proc that said R hit a sleeping call in nearly all cases on a loaded machine, since a thread that has been woken,
// but has not run yet, is R. And a thread that does not run is not interrupted at all, at no cost. The price is that
// the signal comes with the kernel's tick, up to 4 ms late at 250 Hz. Where there are no such timers the signal is sent
// directly, and what blocks must look at G::preempt_signals.
//
//   the handler finds                                    and
//   another G than was meant, g0, a wired G              forgets it
//   a G outside, in the program's code, room on stack    injects the call
//   a G inside, or in libmn, libc, ld.so or the vDSO     has the M's next enter() yield (kPreempt), and tries again
//                                                        at the next tick
//
// Why not in libc: what holds one of its locks would wait in a queue, and whoever wants the lock would take an M into
// the kernel; and the creator of Ms takes such locks. Why not in libmn: code that runs outside may be working on its M.
// What programs call in loops and is known not to (mutexes, semaphores) is in a section of its own, where preemption
// may come (MN_PREEMPTIBLE).
//
// Ms without a P, after a call that blocked, are asked, too, when they compute: the injected call's enter() takes an
// idle P or queues the G, so that no more than MN_PROCS threads compute for longer than a turn.
//
// Stacks. The call is injected when the interrupted stack pointer is on the thread's own stack with room to spare, or,
// on a stack that the program made (coroutines), when the kernel's signal frame has just been where the CPU's state is
// saved; the call needs some hundred bytes more. Not on an alternate signal stack, whose owner the kernel knows by
// kernel thread: handlers that compute there are not preempted, but lose the P in the end (sysmon.cc). The signal
// itself uses the alternate stack if there is one, as libc's does, for the sake of run-time systems with tiny stacks
// (Go, OCaml) or with one in their heap (Erlang), which are not preempted there either: nothing is known of the room.
//
// Cancellation. While an asynchronously cancellable thread yields it must not be unwound: it is made deferred, and when
// that is undone libc acts on a cancellation that arrived meanwhile, and unwinds through the injected call's frame.
#include "runtime/sched/preempt.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/resource.h>

#include "runtime/arch/context.h"
#include "runtime/arch/inject.h"
#include "runtime/base/options.h"
#include "runtime/os/clock.h"
#include "runtime/os/confined.h"
#include "runtime/os/kernel_action.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"

// Defined by the linker; weak, for programs that link none of it (unit tests).
extern "C" MN_HIDDEN __attribute__((weak)) const char __start_mn_preemptible[];
extern "C" MN_HIDDEN __attribute__((weak)) const char __stop_mn_preemptible[];

namespace mn {
namespace {

constexpr int kSignal = 33;
constexpr int kDirectCode = -0x6d70;  // of signals that we send without a timer
constexpr size_t kToSpare = 2048;     // on a thread's own stack, for give_way() and a handler of the program's

struct Range {
  uintptr_t low = 0, high = 0;
  bool holds(uintptr_t at) const { return at >= low && at < high; }
};

// Executable segments that are not interrupted.
constexpr int kMaxRanges = 16;
constinit Range g_closed[kMaxRanges];
constinit int g_n_closed = 0;
constinit Range g_open;        // MN_PREEMPTIBLE, within them
constinit Range g_main_stack;  // of the process's first thread
constinit bool g_can_inject = false;
constinit std::atomic<void*> g_libcs{nullptr};  // libc's handler

uintptr_t address(const void* p) {
  return reinterpret_cast<uintptr_t>(p);
}

void close_segments(const ElfW(Phdr) * phdr, int n, uintptr_t base) {
  for (int i = 0; i < n && g_n_closed < kMaxRanges; ++i)
    if (phdr[i].p_type == PT_LOAD && (phdr[i].p_flags & PF_X) != 0)
      g_closed[g_n_closed++] = {base + phdr[i].p_vaddr, base + phdr[i].p_vaddr + phdr[i].p_memsz};
}

int visit_object(dl_phdr_info* info, size_t, void*) {
  const uintptr_t theirs[] = {address(reinterpret_cast<void*>(real.pthread_create)),    // libc
                              address(reinterpret_cast<void*>(real._dl_allocate_tls)),  // ld.so
                              address(reinterpret_cast<void*>(visit_object)),           // libmn
                              static_cast<uintptr_t>(getauxval(AT_SYSINFO_EHDR))};      // the vDSO
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& p = info->dlpi_phdr[i];
    if (p.p_type != PT_LOAD) continue;
    Range segment{info->dlpi_addr + p.p_vaddr, info->dlpi_addr + p.p_vaddr + p.p_memsz};
    for (uintptr_t at : theirs)
      if (segment.holds(at)) {
        close_segments(info->dlpi_phdr, info->dlpi_phnum, info->dlpi_addr);
        return 0;
      }
  }
  return 0;
}

bool interruptible(uintptr_t pc) {
  if (g_open.holds(pc)) return true;
  for (int i = 0; i < g_n_closed; ++i)
    if (g_closed[i].holds(pc)) return false;
  return true;
}

// *on_own: on the thread's own stack, where there is room for the gap.
bool has_room(const G* g, const ucontext_t* uc, bool* on_own) {
  *on_own = false;
  auto sp = static_cast<uintptr_t>(uc->uc_mcontext.gregs[REG_RSP]);
  size_t need = inject_stack(inject_sees_tiles(uc));
  if (g->altstack.holds(reinterpret_cast<void*>(sp))) return false;
  Range own = g_main_stack;
  if (g->slot != nullptr) own = {address(g->stack_base), address(g->stack_base) + g->stack_size};
  *on_own = own.holds(sp);
  if (*on_own) return sp - own.low > need + kInjectGap + kToSpare;
  // The kernel's frame, and ours, unless they are elsewhere.
  const void* here = __builtin_frame_address(0);
  return !g->altstack.holds(here) && address(here) < sp && sp - address(here) >= need;
}

// --- the signal

bool arm(int timer) {
  // In nanoseconds of CPU time: as soon as the thread has run at all, at the next tick.
  itimerspec soon{{0, 0}, {0, 1}};
  return raw_syscall(SYS_timer_settime, timer, 0, sys_arg(&soon), 0) == 0;
}

bool is_ours(const siginfo_t* info) {
  return info->si_code == kDirectCode || (info->si_code == SI_TIMER && info->si_value.sival_ptr == &g_libcs);
}

// Main's TCB names a kernel thread beside that thread's own (thread/credentials.h).
void* tcb_asked(const M* m) {
  const G* main = sched.main_g;
  if (main == nullptr || tcb_asked_for_credentials(m->libc_tp)) return m->libc_tp;
  bool names_us = tcb_tid(main->tp) == m->ktid.load(std::memory_order_relaxed);
  return names_us && tcb_asked_for_credentials(main->tp) ? main->tp : m->libc_tp;
}

// With the thread pointer that libc asks for; all signals are blocked meanwhile.
void pass_to_libc(int sig, siginfo_t* info, void* context) {
  auto libcs = reinterpret_cast<void (*)(int, siginfo_t*, void*)>(g_libcs.load(std::memory_order_relaxed));
  if (libcs == nullptr) return;
  G* g = this_g();
  void* present = thread_pointer();
  M* m = g != nullptr ? g->m.load(std::memory_order_relaxed) : nullptr;
  if (m == nullptr || m->libc_tp == nullptr) return libcs(sig, info, context);
  void* asked = tcb_asked(m);
  if (asked == present) return libcs(sig, info, context);
  set_thread_pointer(asked);
  libcs(sig, info, context);
  set_thread_pointer(present);
}

void preempt(siginfo_t* info, void* context) {
  G* g = this_g();
  if (g == nullptr) return;
  ++g->preempt_signals;
  M* m = g->m.load(std::memory_order_relaxed);
  PreemptRequest& request = m->preempt;
  bool without_p = m->attention.load(std::memory_order_relaxed) == kLostP;
  bool meant = without_p || (m->p != nullptr && m->p->tick.load(std::memory_order_relaxed) ==
                                                    request.tick.load(std::memory_order_relaxed));
  if (!meant || g->system || g->wired) return request.asked.store(false, std::memory_order_relaxed);
  auto* uc = static_cast<ucontext_t*>(context);
  bool on_own;
  if (g->locks == 0 && may_use(kReturns) && interruptible(static_cast<uintptr_t>(uc->uc_mcontext.gregs[REG_RIP])) &&
      has_room(g, uc, &on_own)) {
    inject_call(info, uc, on_own);
    return request.asked.store(false, std::memory_order_relaxed);
  }
  uint32_t none = kNone;
  m->attention.compare_exchange_strong(none, kPreempt, std::memory_order_relaxed);
  int timer = request.timer.load(std::memory_order_relaxed);
  if (timer < 0 || !may_use(kSignalling) || !arm(timer)) request.asked.store(false, std::memory_order_relaxed);
}

void on_preempt(int sig, siginfo_t* info, void* context) {
  if (is_ours(info))
    preempt(info, context);
  else
    pass_to_libc(sig, info, context);
  handler_ends(context);
}

// Without it there is no preemption by signals.
bool set_action(const KernelAction* action, KernelAction* old) {
  if (kernel_action(kSignal, action, old) == 0) return true;
  means_lost.fetch_or(kSignalling, std::memory_order_relaxed);
  return false;
}

// libc installs its own handler when it needs it, and again in a forked child.
bool take_signal() {
  KernelAction present{};
  if (!set_action(nullptr, &present)) return false;
  if (present.handler == reinterpret_cast<void*>(on_preempt)) return true;
  if (!present.has_handler()) return false;
  g_libcs.store(present.handler, std::memory_order_relaxed);
  KernelAction ours{reinterpret_cast<void*>(on_preempt), SA_SIGINFO | SA_RESTART | SA_ONSTACK | kRestorer,
                    present.restorer, ~uint64_t{0}};
  return set_action(&ours, nullptr);
}

int make_timer(int ktid) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kSignal;
  event.sigev_value.sival_ptr = &g_libcs;
  event._sigev_un._tid = ktid;
  int id = -1;
  return raw_syscall(SYS_timer_create, thread_cpu_clock(ktid), sys_arg(&event), sys_arg(&id)) == 0 ? id : -1;
}

// A signal came meanwhile: its handler is told of the code that was interrupted, as natively, and that goes on as the
// handler says. Not inlined: its frame is large.
MN_NOINLINE void deliver_interrupted(G* g, const Injected& interrupted, int type, int saved_errno) {
  ucontext_t uc{};
  inject_describe(interrupted, &uc);
  deliver_signals_to(g, &uc);
  real.pthread_setcanceltype(type, nullptr);
  errno = saved_errno;
  inject_go_on(interrupted, &uc);
}

// What injected calls run: outside, at any instruction of the program's.
void give_way(const Injected& interrupted) {
  int saved_errno = errno;
  int type = PTHREAD_CANCEL_DEFERRED;
  real.pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
  enter();
  if (somebody_waits()) yield_preempted();
  G* g = this_g();
  g->delivering = true;  // a poke is left to the looks below: its handler would be told of this place
  leave_undelivered(g);
  auto noted = [g] { return g->sigpend.load(std::memory_order_relaxed) != 0; };
  if (MN_UNLIKELY(noted())) deliver_interrupted(g, interrupted, type, saved_errno);
  g->delivering = false;
  __asm__ volatile("" ::: "memory");  // a poke that came before was left to this look
  if (MN_UNLIKELY(noted())) deliver_interrupted(g, interrupted, type, saved_errno);
  real.pthread_setcanceltype(type, nullptr);
  errno = saved_errno;
}

}  // namespace

void preempt_init() {
  const bool can_save = inject_init(give_way);
  if (options.preempt_ms == 0) return;
  g_n_closed = 0;
  ::dl_iterate_phdr(visit_object, nullptr);
  g_open = {address(__start_mn_preemptible), address(__stop_mn_preemptible)};
  rlimit stack{};
  uintptr_t top = getauxval(AT_EXECFN);  // a string at the very top
  raw_syscall(SYS_prlimit64, 0, RLIMIT_STACK, 0, sys_arg(&stack));
  if (stack.rlim_cur < top) g_main_stack = {top - stack.rlim_cur, top};
  g_can_inject = can_save;
}

bool preempt_start() {
  return may_use(kSignalling) && take_signal() && g_can_inject;
}

bool somebody_waits() {
  return any_work() || next_timer() <= now_ns();
}

bool preempt_due(const M* m) {
  return m->p != nullptr &&
         m->p->tick.load(std::memory_order_relaxed) == m->preempt.tick.load(std::memory_order_relaxed) &&
         somebody_waits();
}

void preempt_ask(M* m, uint32_t tick) {
  if (!may_use(kSignalling) || !take_signal()) return;
  int ktid = m->ktid.load(std::memory_order_relaxed);
  int timer = m->preempt.timer.load(std::memory_order_relaxed);
  if (timer < 0 && (options.disable & kDisableCpuTimers) == 0) {
    timer = make_timer(ktid);
    m->preempt.timer.store(timer, std::memory_order_relaxed);
  }
  m->preempt.tick.store(tick, std::memory_order_relaxed);
  m->preempt.asked.store(true, std::memory_order_relaxed);
  if (timer >= 0 && arm(timer)) return;
  siginfo_t info{};
  info.si_signo = kSignal;
  info.si_code = kDirectCode;
  info.si_pid = sys_getpid();
  if (refused(raw_syscall(SYS_rt_tgsigqueueinfo, sys_getpid(), ktid, kSignal, sys_arg(&info))))
    means_lost.fetch_or(kSignalling, std::memory_order_relaxed);
}

bool preempt_persists(const M* m) {
  return m->preempt.timer.load(std::memory_order_relaxed) >= 0;
}

void preempt_forget(M* m) {
  int timer = m->preempt.timer.exchange(-1, std::memory_order_relaxed);
  if (timer >= 0 && may_use(kSignalling)) raw_syscall(SYS_timer_delete, timer);
}

}  // namespace mn
