// SPDX-License-Identifier: Apache-2.0
// sysmon: a kernel thread without a P that takes Ps away from Ms asleep in the kernel, for whatever reason, and has Gs
// preempted that compute while others wait.
//
// It looks at every busy P now and then. What it can tell, by two looks:
//
//   the P's tick moved                      alive: a G parked, yielded or was preempted
//   same tick, CPU time went by             the G computes; after MN_PREEMPT_MS, if somebody waits: preempt.cc. Where
//                                           that finds no place to interrupt it for long (it hardly ever leaves libc,
//                                           or computes on an alternate stack), the P is retaken as from one asleep
//   same tick, no CPU time, state R         the kernel runs others: nothing to be done, or preempt when it runs again
//   same tick, no CPU time, state S or D    asleep in the kernel: the P is retaken by the claim protocol of sched.h and
//                                           handed to an M that runs its Gs, or put on the idle list
//
// Without /proc (a chroot, a filter) there is no state: an M that takes no CPU time for kBlindPatience is believed to
// be asleep. One that was only kept waiting by the kernel then goes on without a P, as one that came back from a call.
// Where signals may not be sent (os/confined.h), a G that computes loses the P when its turn is over; where CPU time
// may not be asked for, so does a G that does anything else.
//
// How often. A look costs a wake-up and a system call per P, some 5 us; a P whose M sleeps costs the time until the
// second look. So: where work waits for a P whose M did not compute all the time, the state is read at the first look
// already, and the second comes kConfirm later. The period begins at 20 us after each retake, because a thread
// that blocked once tends to block again soon. It doubles to 5 ms while work waits and to 10 ms while none does. Turns
// end when they end: sysmon wakes for the first of them. When all Ps are idle it sleeps until one is taken, so that an
// idle program has no wake-ups.
//
// An M whose P was taken is remembered: should it come back and compute without ever calling libmn, it is preempted,
// too, for it is one more than MN_PROCS.
//
// sysmon must not wait for a lock that a program thread may hold: it uses raw system calls only, and the runtime's own
// SpinLocks.
#include <fcntl.h>

#include "runtime/base/options.h"
#include "runtime/base/text.h"
#include "runtime/os/clock.h"
#include "runtime/os/kernel_thread.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constexpr int64_t kUs = 1000, kMs = 1000 * kUs;
constexpr int64_t kShortest = 20 * kUs, kLongest = 10 * kMs, kLongestWaiting = 5 * kMs;
constexpr int64_t kConfirm = 50 * kUs;
constexpr int64_t kBlindPatience = 2 * kMs, kBlindTurn = 10 * kMs;
constexpr int64_t kLeastTurn = kMs;             // the first look after a turn began may come this much late
constexpr int64_t kRetakeIdleAfter = 10 * kMs;  // an M asleep with nothing queued keeps its P this long
constexpr int64_t kIdleBeforeSleep = 10 * kMs;
constexpr int64_t kHeldPeriod = 1000 * kMs;  // while it sleeps, between looks for a thread that takes a held signal
constexpr int64_t kAskAgain = 50 * kMs;
constexpr int64_t kPatience = 50 * kMs;  // CPU time after its turn for which a G that does not yield keeps its P
constexpr int kLostPerLook = 16;

// What sysmon blocks for sure.
constinit std::atomic<uint64_t> g_mask{kAllMasked};

constinit G g_sysmon_g;
constinit M g_sysmon_m;
constinit bool g_preempts = false;
constinit std::atomic<uint32_t> g_looks{0};
constinit int g_tasks = -1;  // /proc/self/task, which a chroot does not take away

// What was seen of a P at the last look.
struct Watch {
  M* m = nullptr;
  uint32_t tick = 0;
  int64_t cpu = 0;
  int64_t looked = 0;
  int64_t turn = 0;  // since when the same G runs, as far as known
  int64_t turn_cpu = 0;
  int64_t worked = 0;  // when CPU time went by
  int64_t asked = 0;
  int stat_fd = -1;  // of the M's kernel thread
  int stat_ktid = 0;
};
constinit Watch g_watches[kMaxProcs];

// Ms that run without a P since sysmon took it.
struct Lost {
  M* m;
  int ktid;
  int64_t cpu;  // at that time
};
constinit Lost g_lost[kMaxMs]{};
constinit int g_n_lost = 0, g_next_lost = 0;

enum class Sleep { kAwake, kAsleep, kUnknown };

Sleep sleep_of(Watch* w, int ktid) {
  if (g_tasks < 0 || !may_use(kProc)) return Sleep::kUnknown;
  if (w->stat_ktid != ktid) {
    if (w->stat_fd >= 0) raw_syscall(SYS_close, w->stat_fd);
    Text path;
    path << ktid << "/stat";
    w->stat_fd = static_cast<int>(raw_syscall(SYS_openat, g_tasks, sys_arg(path.c_str()), O_RDONLY | O_CLOEXEC));
    w->stat_ktid = w->stat_fd >= 0 ? ktid : 0;
  }
  if (w->stat_fd < 0) return Sleep::kUnknown;
  char buf[64];
  long n = raw_syscall(SYS_pread64, w->stat_fd, sys_arg(buf), sizeof buf, 0);
  // "tid (name) S ...": the name may hold anything, the state follows the last parenthesis.
  for (long i = n - 1; i > 0; --i)
    if (buf[i] == ')' && i + 2 < n) return buf[i + 2] == 'S' || buf[i + 2] == 'D' ? Sleep::kAsleep : Sleep::kAwake;
  w->stat_ktid = 0;  // it has ended, and its number may come again
  return refused(n) ? Sleep::kUnknown : Sleep::kAwake;
}

int64_t cpu_time_of(int ktid, int64_t now) {
  timespec ts;
  if (may_use(kThreadClocks)) {
    long error = raw_syscall(SYS_clock_gettime, thread_cpu_clock(ktid), sys_arg(&ts));
    if (MN_LIKELY(error == 0)) return ts.tv_sec * kNsPerSec + ts.tv_nsec;
    if (!refused(error)) return -1;  // it has ended
    means_lost.fetch_or(kThreadClocks, std::memory_order_relaxed);
  }
  return now;  // as if it computed all the time
}

// True: the P is ours, its M will notice.
bool claim(P* p, M* m) {
  uint32_t before = m->attention.load(std::memory_order_relaxed);
  // Seq_cst: pairs with enter().
  if ((before != kNone && before != kPreempt) ||
      !m->attention.compare_exchange_strong(before, kClaim, std::memory_order_seq_cst))
    return false;
  bool fenced = fence_all();
  uint32_t claimed = kClaim;
  // Acquire: pairs with the release in leave(): what was done inside is visible.
  bool outside = fenced && m->inside.load(std::memory_order_acquire) == 0 && m->p == p;
  // Acq_rel: pairs with enter_slow's; exactly one of the two wins.
  if (m->attention.compare_exchange_strong(claimed, outside ? kLostP : kNone, std::memory_order_acq_rel))
    return outside;
  return false;
}

void remember_lost(M* m, int ktid, int64_t cpu) {
  if (g_n_lost < kMaxMs) g_lost[g_n_lost++] = {m, ktid, cpu};
}

int64_t turn_ns() {
  return static_cast<int64_t>(options.preempt_ms) * kMs;
}

// A few of them, in turn.
void look_at_lost(int64_t now) {
  for (int i = 0; i < kLostPerLook && g_n_lost != 0; ++i) {
    if (g_next_lost >= g_n_lost) g_next_lost = 0;
    Lost* lost = &g_lost[g_next_lost];
    bool gone = lost->m->attention.load(std::memory_order_relaxed) != kLostP ||
                lost->m->ktid.load(std::memory_order_relaxed) != lost->ktid;
    if (gone) {
      *lost = g_lost[--g_n_lost];
      continue;
    }
    int64_t cpu = cpu_time_of(lost->ktid, now);
    if (g_preempts && cpu - lost->cpu >= turn_ns()) {
      preempt_ask(lost->m, 0);
      lost->cpu = cpu;
    }
    ++g_next_lost;
    if (g_n_lost <= kLostPerLook && i + 1 >= g_n_lost) return;
  }
}

// What one look at all Ps has found.
struct Outlook {
  int64_t now;
  int64_t next = kForever;  // when to look again at the latest
  bool waiting = false;     // somebody waits for a P
  bool retaken = false;

  void look_by(int64_t at) {
    if (at < next) next = at;
  }
};

// Without a timer the signal would end a system call in which the M sleeps.
bool may_be_asked(Watch* w, M* m, int ktid) {
  return preempt_persists(m) || sleep_of(w, ktid) == Sleep::kAwake;
}

// The same G runs since w->turn, and others wait.
void consider_turn(Watch* w, M* m, int ktid, Outlook* out) {
  if (!g_preempts || !may_use(kSignalling)) return;
  int64_t end = w->turn + turn_ns();
  if (end > out->now) return out->look_by(end > out->now + kLeastTurn ? end : out->now + kLeastTurn);
  bool asked = m->preempt.asked.load(std::memory_order_relaxed) && w->asked >= w->turn;
  if ((!asked || out->now - w->asked >= kAskAgain) && may_be_asked(w, m, ktid)) {
    preempt_ask(m, w->tick);
    w->asked = out->now;
  }
  if (!preempt_persists(m)) out->look_by(out->now + kLeastTurn);
}

// The CPU time that a G has at most while others wait.
int64_t turn_limit() {
  if (may_use(kSignalling) && may_use(kThreadClocks)) return g_preempts ? turn_ns() + kPatience : kForever;
  if (options.preempt_ms == 0 && may_use(kThreadClocks)) return kForever;
  return turn_ns() != 0 ? turn_ns() : kBlindTurn;
}

void look_at(P* p, Outlook* out) {
  M* m = p->m.load(std::memory_order_acquire);  // Acquire: pairs with acquire_p.
  if (m == nullptr) return;
  Watch* w = &g_watches[p->id];
  uint32_t tick = p->tick.load(std::memory_order_relaxed);
  int ktid = m->ktid.load(std::memory_order_relaxed);
  int64_t cpu = cpu_time_of(ktid, out->now);
  int64_t elapsed = out->now - w->looked, used = cpu - w->cpu;
  bool same = m == w->m && tick == w->tick;
  if (!same) {
    int64_t preempted = p->preempted_at.load(std::memory_order_relaxed);
    w->m = m;
    w->tick = tick;
    w->turn = preempted > w->looked ? preempted : out->now;
    w->turn_cpu = cpu;
  }
  if (!same || used != 0) w->worked = out->now;
  w->cpu = cpu;
  w->looked = out->now;
  bool waiting = !p->runq.empty() || out->waiting || p->timers.next() <= out->now;
  if (waiting) consider_turn(w, m, ktid, out);
  if (m->inside.load(std::memory_order_relaxed) != 0) return;
  bool overdue = waiting && cpu - w->turn_cpu >= turn_limit();
  if (!overdue) {
    bool computes = same && used > elapsed / 4 * 3;
    bool moved = w->worked == out->now;
    if (computes || (!waiting && (moved || out->now - w->worked < kRetakeIdleAfter))) return;
    Sleep sleep = sleep_of(w, ktid);
    int64_t sure = sleep == Sleep::kUnknown ? w->worked + kBlindPatience : moved ? out->now + kConfirm : out->now;
    if (sleep == Sleep::kAwake) return;
    if (sure > out->now) return out->look_by(sure);
  }
  if (!claim(p, m)) return;
  remember_lost(m, ktid, cpu);
  p->m.store(nullptr, std::memory_order_relaxed);
  if (traced()) trace_hooks.lost(p);
  sched.retakes.fetch_add(1, std::memory_order_relaxed);
  hand_off_p(p);
  out->retaken = true;
}

// An M for an idle P was asked for, but could not be had then.
bool lacks_ms() {
  if (sched.n_idle_ps.load(std::memory_order_relaxed) == 0) return false;
  SpinGuard guard(sched.lock);
  return sched.n_idle_ms == 0;
}

bool all_idle() {
  return sched.n_idle_ps.load(std::memory_order_relaxed) == sched.nprocs;
}

uint64_t wanted_mask() {
  return mask_for_sysmon != nullptr ? mask_for_sysmon() : kAllMasked;
}

// On sysmon only, which pulls the mask: if threads pushed it, a stale value could overwrite a newer one. It announces
// what it is about to open. Either it then sees the newest mask, or the thread that changes the mask sees that it must
// wait.
void adopt_mask() {
  for (;;) {
    uint64_t wanted = wanted_mask(), present = g_mask.load(std::memory_order_relaxed);
    if (wanted == present) return;
    g_mask.store(present & wanted, std::memory_order_seq_cst);  // pairs with sysmon_mask_changed
    if (wanted_mask() != wanted) continue;
    set_kernel_mask(&g_sysmon_m, wanted);
    g_mask.store(wanted, std::memory_order_release);  // pairs with sysmon_mask_changed: the kernel has it
  }
}

void sleep_until_busy() {
  // Seq_cst: pairs with get_idle_p_locked, which takes a P and then looks at this flag, and with on_signal.
  sched.sysmon_asleep.store(true, std::memory_order_seq_cst);
  // Seq_cst: pairs with on_signal, which notes a signal and then looks at the flag.
  if (all_idle() && process_signals.load(std::memory_order_seq_cst) == 0) {
    bool held = held_signals.load(std::memory_order_relaxed) != 0;  // somebody may take them by now, unasked
    sched.sysmon_note.sleep(held ? now_ns() + kHeldPeriod : -1, true);
  }
  sched.sysmon_asleep.store(false, std::memory_order_relaxed);
}

void sysmon_loop() {
  int64_t period = kShortest, next = 0, idle_since = 0;
  for (;;) {
    sched.sysmon_note.sleep(next, true);
    sched.sysmon_note.clear();
    if (sched.stopping.load(std::memory_order_relaxed) != nullptr) return;
    g_looks.fetch_add(1, std::memory_order_seq_cst);  // pairs with sysmon_await_look: from here on it sees what is lost
    adopt_mask();
    if ((process_signals.load(std::memory_order_relaxed) | held_signals.load(std::memory_order_relaxed)) != 0)
      route_process_signals();
    Outlook out{now_ns()};
    sched.coarse_now.store(out.now, std::memory_order_relaxed);
    if (all_idle()) {
      if (idle_since == 0) idle_since = out.now;
      if (out.now - idle_since > kIdleBeforeSleep && !gpool_has_surplus() && !any_work()) {
        sleep_until_busy();
        idle_since = 0;
        period = kShortest;
        next = now_ns() + period;
        continue;
      }
      period = kLongest;
    } else {
      idle_since = 0;
    }
    run_timers(out.now);
    poll_neglected(out.now);
    out.waiting = any_work();
    for (int i = 0; i < sched.nprocs; ++i) look_at(sched.ps[i], &out);
    look_at_lost(out.now);
    if (out.waiting && lacks_ms()) request_m();
    if (gpool_wants_scavenge() && period == kLongest) request_m();
    int64_t longest = out.waiting ? kLongestWaiting : kLongest;
    period = out.retaken ? kShortest : period * 2 < longest ? period * 2 : longest;
    out.look_by(out.now + period);
    // Idle Ms see to timers.
    if (sched.n_idle_ps.load(std::memory_order_relaxed) == 0) {
      int64_t due = next_timer();
      out.look_by(due > out.now + kLeastTurn ? due : out.now + kLeastTurn);
    }
    next = out.next;
  }
}

void* sysmon_main(void*) {
  // A descriptor table of its own: the /proc files that it opens must never appear as descriptors of the program.
  bool own = may_use(kProc) && raw_syscall(SYS_close_range, 0, ~0u, 1u << 1 /* CLOSE_RANGE_UNSHARE */) == 0;
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  g_tasks = own ? static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, sys_arg("/proc/self/task"), kFlags)) : -1;
  for (Watch& w : g_watches) w = Watch{};
  g_n_lost = 0;
  g_sysmon_g.system = g_sysmon_g.wired = true;
  g_sysmon_g.tp = thread_pointer();
  g_sysmon_m.wired = g_sysmon_m.own_descriptors = true;
  g_sysmon_m.cur = &g_sysmon_g;
  g_sysmon_g.m.store(&g_sysmon_m, std::memory_order_relaxed);
  tls_g = &g_sysmon_g;
  sched.sysmon_ktid.store(tcb_tid(g_sysmon_g.tp), std::memory_order_relaxed);
  sysmon_loop();
  tls_g = nullptr;
  kernel_thread_ends();
  sched.sysmon_alive.store(false, std::memory_order_release);  // pairs with helpers_ended
  return nullptr;
}

}  // namespace

void sysmon_wake() {
  // Relaxed: only one waker is needed, a second signal does no harm.
  if (!sched.sysmon_asleep.exchange(false, std::memory_order_relaxed)) return;
  sched.coarse_now.store(now_ns(), std::memory_order_relaxed);
  sched.sysmon_note.signal();
}

void sysmon_await_look() {
  if (!sched.started.load(std::memory_order_relaxed)) return;
  const uint32_t before = g_looks.load(std::memory_order_seq_cst);  // pairs with sysmon_loop
  while (sched.sysmon_alive.load(std::memory_order_relaxed) && g_looks.load(std::memory_order_relaxed) == before) {
    sched.sysmon_note.signal();
    yield_cpu();
  }
}

void sysmon_mask_changed(uint64_t blocked) {
  if (this_g() == &g_sysmon_g) return adopt_mask();
  if (!sched.started.load(std::memory_order_relaxed)) return;
  // Asked again each time: what somebody else opens meanwhile is not waited for.
  while ((wanted_mask() & blocked & ~g_mask.load(std::memory_order_seq_cst)) != 0) {  // pairs with adopt_mask
    sched.sysmon_note.signal();
    yield_cpu();
  }
}

bool sysmon_takes(uint64_t signals) {
  return (signals & ~g_mask.load(std::memory_order_seq_cst)) != 0;  // pairs with adopt_mask
}

int sysmon_start() {
  g_preempts = preempt_start();
  g_mask.store(kAllMasked, std::memory_order_relaxed);  // as that of the creator of threads
  wanted_mask();                                        // main's is asked for now, while it is not a handler's
  sched.coarse_now.store(now_ns(), std::memory_order_relaxed);
  sched.sysmon_alive.store(true, std::memory_order_relaxed);
  sched.sysmon_ktid.store(0, std::memory_order_relaxed);
  int error = create_kernel_thread(sysmon_main, nullptr);
  if (error != 0) sched.sysmon_alive.store(false, std::memory_order_relaxed);
  return error;
}

}  // namespace mn
