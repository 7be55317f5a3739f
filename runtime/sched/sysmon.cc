// SPDX-License-Identifier: Apache-2.0
// sysmon: a kernel thread without a P that takes Ps away from Ms asleep in the kernel, for whatever reason.
//
// It looks at every busy P each period. A P whose tick moved since the last look is alive. One that stood still while
// its M used CPU time is computing. One that stood still while its M used none is asleep or was preempted by the
// kernel; the state in /proc tells which (S or D: asleep). Only then is the P retaken, by the claim protocol of
// sched.h, and handed to an M that runs its Gs, or put on the idle list.
//
// The period starts at 20 us and doubles to 10 ms while there is nothing to retake. When all Ps are idle sysmon sleeps
// until one leaves the idle list, so that an idle program has no wake-ups.
//
// sysmon must not wait for a lock that a program thread may hold: it uses raw system calls only, and the runtime's own
// SpinLocks.
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>

#include "runtime/base/options.h"
#include "runtime/base/text.h"
#include "runtime/os/clock.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constexpr int64_t kShortest = 20 * 1000, kLongest = 10 * 1000 * 1000;
constexpr int64_t kRetakeIdleAfter = 10 * 1000 * 1000;  // an M asleep with nothing queued keeps its P this long
constexpr int64_t kIdleBeforeSleep = 50 * 1000 * 1000;

// sysmon's mask as main wants it, and as the kernel has it.
constinit std::atomic<uint64_t> g_wanted_mask{kAllMasked}, g_mask{kAllMasked};

constinit G g_sysmon_g;
constinit M g_sysmon_m;

int64_t cpu_time_ns(int ktid) {
  // CPUCLOCK_SCHED of one thread, as pthread_getcpuclockid builds it.
  auto clock = static_cast<clockid_t>((~static_cast<unsigned>(ktid) << 3) | 6u);
  timespec ts;
  if (raw_syscall(SYS_clock_gettime, clock, sys_arg(&ts)) != 0) return -1;
  return ts.tv_sec * kNsPerSec + ts.tv_nsec;
}

bool asleep_in_kernel(int ktid) {
  Text path;
  path << "/proc/self/task/" << ktid << "/stat";
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(path.c_str()), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char buf[128];
  long n = raw_syscall(SYS_read, fd, sys_arg(buf), sizeof buf);
  raw_syscall(SYS_close, fd);
  // "tid (name) S ...": the name may hold anything, the state follows the last parenthesis.
  for (long i = n - 1; i > 0; --i)
    if (buf[i] == ')' && i + 2 < n) return buf[i + 2] == 'S' || buf[i + 2] == 'D';
  return false;
}

// True: the P is ours, its M will notice.
bool claim(P* p, M* m) {
  uint32_t none = kNone;
  // Seq_cst: pairs with enter().
  if (!m->attention.compare_exchange_strong(none, kClaim, std::memory_order_seq_cst)) return false;
  raw_syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with enter()'s, where it has one
  uint32_t claimed = kClaim;
  // Acquire: pairs with the release in leave(): what was done inside is visible.
  bool outside = m->inside.load(std::memory_order_acquire) == 0 && m->p == p;
  // Acq_rel: pairs with enter_slow's; exactly one of the two wins.
  if (m->attention.compare_exchange_strong(claimed, outside ? kLostP : kNone, std::memory_order_acq_rel))
    return outside;
  return false;
}

// Looks at one P. True: retaken.
bool look_at(P* p, int64_t now) {
  M* m = p->m.load(std::memory_order_acquire);  // Acquire: pairs with acquire_p.
  if (m == nullptr) return false;
  uint32_t tick = p->tick.load(std::memory_order_relaxed);
  int64_t cpu = cpu_time_ns(m->ktid.load(std::memory_order_relaxed));
  if (tick != m->seen_tick || cpu != m->seen_cpu) {
    m->seen_tick = tick;
    m->seen_cpu = cpu;
    m->seen_at = now;
    return false;
  }
  if (m->inside.load(std::memory_order_relaxed) != 0) return false;
  bool wanted = !p->runq.empty() || sched.global_size.load(std::memory_order_relaxed) != 0 || p->timers.next() <= now;
  if (!wanted && now - m->seen_at < kRetakeIdleAfter) return false;
  if (!asleep_in_kernel(m->ktid.load(std::memory_order_relaxed))) return false;
  if (!claim(p, m)) return false;
  p->m.store(nullptr, std::memory_order_relaxed);
  sched.retakes.fetch_add(1, std::memory_order_relaxed);
  hand_off_p(p);
  return true;
}

bool all_idle() {
  return sched.n_idle_ps.load(std::memory_order_relaxed) == sched.nprocs;
}

void adopt_mask() {
  uint64_t wanted = g_wanted_mask.load(std::memory_order_relaxed);
  if (wanted == g_mask.load(std::memory_order_relaxed)) return;
  set_kernel_mask(&g_sysmon_m, wanted);
  g_mask.store(wanted, std::memory_order_release);  // pairs with sysmon_mask: the kernel has it
}

void sleep_until_busy() {
  // Seq_cst: pairs with get_idle_p_locked, which takes a P and then looks at this flag.
  sched.sysmon_asleep.store(true, std::memory_order_seq_cst);
  if (all_idle() && process_signals.load(std::memory_order_relaxed) == 0) sched.sysmon_note.sleep(-1, true);
  sched.sysmon_asleep.store(false, std::memory_order_relaxed);
}

void sysmon_loop() {
  int64_t period = kShortest, idle_since = 0;
  for (;;) {
    sched.sysmon_note.sleep(now_ns() + period, true);
    sched.sysmon_note.clear();
    adopt_mask();
    if ((process_signals.load(std::memory_order_relaxed) | held_signals.load(std::memory_order_relaxed)) != 0)
      route_process_signals();
    int64_t now = now_ns();
    sched.coarse_now.store(now, std::memory_order_relaxed);
    if (all_idle()) {
      if (idle_since == 0) idle_since = now;
      if (now - idle_since > kIdleBeforeSleep && !gpool_has_surplus()) {
        sleep_until_busy();
        idle_since = 0;
        period = kShortest;
        continue;
      }
    } else {
      idle_since = 0;
    }
    bool progress = run_timers(now);
    for (int i = 0; i < sched.nprocs; ++i) progress |= look_at(sched.ps[i], now);
    if (gpool_wants_scavenge() && period == kLongest) request_m();
    if (progress)
      period = kShortest;
    else if (period < kLongest)
      period = period * 2 < kLongest ? period * 2 : kLongest;
  }
}

void* sysmon_main(void*) {
  // A descriptor table of its own: the /proc files that it opens must never appear as descriptors of the program.
  raw_syscall(SYS_close_range, 0, ~0u, 1u << 1 /* CLOSE_RANGE_UNSHARE */);
  g_sysmon_g.system = g_sysmon_g.wired = true;
  g_sysmon_g.tp = thread_pointer();
  g_sysmon_m.wired = true;
  g_sysmon_m.cur = &g_sysmon_g;
  g_sysmon_g.m.store(&g_sysmon_m, std::memory_order_relaxed);
  tls_g = &g_sysmon_g;
  sysmon_loop();
  return nullptr;
}

}  // namespace

void sysmon_wake() {
  // Relaxed: only one waker is needed, a second signal does no harm.
  if (!sched.sysmon_asleep.exchange(false, std::memory_order_relaxed)) return;
  sched.coarse_now.store(now_ns(), std::memory_order_relaxed);
  sched.sysmon_note.signal();
}

void sysmon_mask(uint64_t mask) {
  g_wanted_mask.store(mask, std::memory_order_relaxed);
  if (!sched.started.load(std::memory_order_relaxed) || sched.helpers_lost) return;
  while ((mask & ~g_mask.load(std::memory_order_acquire)) != 0) {  // pairs with adopt_mask
    sched.sysmon_note.signal();
    raw_syscall(SYS_sched_yield);
  }
}

int sysmon_start() {
  g_mask.store(kAllMasked, std::memory_order_relaxed);  // as that of the creator of threads
  g_wanted_mask.store(sched.main_g != nullptr ? sched.main_g->sigmask : kAllMasked, std::memory_order_relaxed);
  bool have = (options.disable & kDisableMembarrier) == 0 &&
              raw_syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  sched.fence_on_enter = !have;
  sched.coarse_now.store(now_ns(), std::memory_order_relaxed);
  pthread_attr_t attr;
  pthread_t thread;
  real.pthread_attr_init(&attr);
  real.pthread_attr_setstacksize(&attr, 128 * 1024);
  real.pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  int error = real.pthread_create(&thread, &attr, sysmon_main, nullptr);
  real.pthread_attr_destroy(&attr);
  return error;
}

}  // namespace mn
