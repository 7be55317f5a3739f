// SPDX-License-Identifier: Apache-2.0
// Where Ms come from. libc's real pthread_create makes them, so that libc knows them: its set*id broadcast reaches
// every kernel thread, and its single-thread shortcuts are off. But creating one takes libc's and malloc's locks, which
// a scheduling path must not wait for; so a thread of its own, the creator, makes them ahead of need.
#include "runtime/sched/ms.h"

#include <pthread.h>
#include <signal.h>

#include "runtime/base/text.h"
#include "runtime/os/kernel_thread.h"
#include "runtime/os/libc_state.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/netpoll.h"
#include "runtime/sched/provide.h"

namespace mn {

constinit Hook helpers_started = nullptr;

namespace {

constexpr int kSpareMs = 1;

constinit Note g_creator_note;
constinit G g_creator_g;
constinit std::atomic<bool> g_creator_alive{false};
constinit std::atomic<Hook> g_errand{nullptr};
constinit std::atomic<bool> g_interrupt{false};

// Made by create_m and not ended yet.
constinit std::atomic<int> g_ms_alive{0};
// Fresh ones. While there is one no further is made: on a crowded machine it takes long to begin, and all who miss it
// meanwhile would have one made each. They are heard when it has settled.
constinit std::atomic<int> g_ms_fresh{0};
constinit std::atomic<bool> g_unheard{false};
constinit std::atomic<bool> g_no_sysmon{false};  // the system grants no more kernel threads

constinit SpinLock g_free_ms_lock;
constinit Stack<M, &M::next_idle> g_free_ms;

}  // namespace

void free_m(M* m) {
  SpinGuard guard(g_free_ms_lock);
  g_free_ms.push(m);
}

M* new_m() {
  {
    SpinGuard guard(g_free_ms_lock);
    if (M* m = g_free_ms.pop()) return new (m) M;
  }
  auto* m = static_cast<M*>(map_memory(round_up(sizeof(M), kPageSize)));
  if (m == nullptr) return nullptr;
  new (m) M;
  return m;
}

void join_all_ms(M* m) {
  SpinGuard guard(sched.lock);
  m->id = sched.n_ms++;
  m->all_next = sched.all_ms;
  sched.all_ms = m;
  m->rand = Xorshift32(static_cast<uint32_t>(m->id + 1) * 0x9e3779b9u);
}

namespace {

void* m_main(void* arg) {
  auto* m = static_cast<M*>(arg);
  G* g0 = &m->g0;
  g0->tp = thread_pointer();
  g0->system = true;
  g0->m.store(m, std::memory_order_relaxed);
  m->cur = g0;
  m->kmask = kIdleMask;
  m->libc_tp = g0->tp;
  m->ktid.store(tcb_tid(g0->tp), std::memory_order_relaxed);
  tls_g = g0;
  join_all_ms(m);
  m_has_begun();
  if (m->born_for != nullptr) run_wired(m);
  g0_loop(m);
  if (m->fresh) m_settles(m);
  tls_g = nullptr;
  free_m(m);
  kernel_thread_ends();
  g_ms_alive.fetch_sub(1, std::memory_order_release);  // pairs with helpers_ended
  return nullptr;
}

// Where it cannot be had it may be for want of address space.
int helper_thread(void* (*main)(void*), void* arg) {
  int error = create_kernel_thread(main, arg);
  if (MN_LIKELY(error == 0)) return 0;
  gpool_give_back();
  return create_kernel_thread(main, arg);
}

bool create_m(G* born_for) {
  if (MN_UNLIKELY(!may_make_m(born_for == nullptr))) return false;
  M* m = new_m();
  if (m == nullptr) return false;
  m->born_for = born_for;
  m->fresh = born_for == nullptr;
  if (m->fresh) g_ms_fresh.fetch_add(1, std::memory_order_relaxed);
  g_ms_alive.fetch_add(1, std::memory_order_relaxed);
  m_begins();
  if (helper_thread(m_main, m) == 0) return true;
  m_has_begun();
  g_ms_alive.fetch_sub(1, std::memory_order_relaxed);
  if (m->fresh) g_ms_fresh.fetch_sub(1, std::memory_order_relaxed);
  free_m(m);  // sysmon may know it from an earlier life
  return false;
}

// On the creator, which is asked for an M.
bool one_is_coming() {
  if (g_ms_fresh.load(std::memory_order_relaxed) == 0) return false;
  g_unheard.store(true, std::memory_order_seq_cst);        // pairs with m_settles, which counts off and then looks
  return g_ms_fresh.load(std::memory_order_seq_cst) != 0;  // the same
}

// On the creator.
void make_wired_ms() {
  for (;;) {
    sched.lock.lock();
    G* g = sched.to_wire.pop_front();
    int n_ms = sched.n_ms;
    sched.lock.unlock();
    if (g == nullptr) return;
    if (n_ms < kMaxMs && create_m(g)) continue;
    enter();
    global_put(g);
    leave();
  }
}

// Gs and a P are there, but no M, and none can be had. It goes on when one of those in the kernel comes back, or when
// sysmon asks again and there is one. Only what lasts is said: while another thread is in execve(2), the kernel refuses
// new ones (copy_fs: EAGAIN).
void say_none_left(int n_ms) {
  constexpr int64_t kLasts = 500'000'000;
  static constinit int64_t since = 0;
  static constinit int64_t last = 0;
  static constinit bool said = false;
  const int64_t now = now_ns();
  if (since == 0 || now - last > kLasts) since = now;
  last = now;
  if (said || now - since < kLasts || !may_use(kOutput)) return;
  said = true;
  Text line;
  line << "libmn: " << n_ms << " kernel threads are blocked in system calls, and ";
  if (n_ms >= kMaxMs)
    line << "libmn makes no more";
  else
    line << "the system grants no more (see ulimit -u, and pids.max of the cgroup)";
  line << ": other threads wait until one of them returns\n";
  write_stderr(line.data(), line.size());
}

void* creator_main(void*) {
  static constinit M creator_m;
  be_system_thread(&g_creator_g, &creator_m);
  tcb_find_stackblock();
  libc_state_learn(tcb_layout.stackblock);
  while (sched.stopping.load(std::memory_order_relaxed) == nullptr) {
    if (g_interrupt.exchange(false, std::memory_order_relaxed)) netpoll.interrupt();
    // Before any lock is taken: an errand may be there to find out who holds it. Acquire: pairs with request_errand.
    if (Hook errand = g_errand.exchange(nullptr, std::memory_order_acquire)) errand();
    if (g_no_sysmon.load(std::memory_order_relaxed) && sysmon_start() == 0)
      g_no_sysmon.store(false, std::memory_order_relaxed);
    provide_if_asked([] { return create_m(nullptr); });
    make_wired_ms();
    sched.lock.lock();
    bool more = sched.n_idle_ms < kSpareMs && !one_is_coming();
    bool needed = sched.n_idle_ms == 0 && sched.idle_ps != nullptr;
    int n_ms = sched.n_ms;
    sched.lock.unlock();
    if (more && (n_ms >= kMaxMs || !create_m(nullptr)) && needed && any_work()) say_none_left(n_ms);
    if (gpool_wants_scavenge()) gpool_scavenge();
    // Release: pairs with the acquire in sched_start; the layout found above is visible.
    g_creator_alive.store(true, std::memory_order_release);
    g_creator_note.sleep();
    g_creator_note.clear();
  }
  tls_g = nullptr;
  kernel_thread_ends();
  g_creator_alive.store(false, std::memory_order_release);  // pairs with helpers_ended
  return nullptr;
}

}  // namespace

void be_system_thread(G* g, M* m) {
  g->system = g->wired = true;
  g->locks = 0;
  g->tp = thread_pointer();
  m->wired = true;
  m->kmask = kAllMasked;
  m->inside.store(0, std::memory_order_relaxed);
  m->cur = g;
  m->ktid.store(tcb_tid(g->tp), std::memory_order_relaxed);
  g->m.store(m, std::memory_order_relaxed);
  tls_g = g;
}

bool reserve_ms(int n) {
  Stack<M, &M::next_idle> reserved;
  while (static_cast<int>(reserved.size()) < n) {
    M* m = new_m();
    if (m == nullptr) break;
    reserved.push(m);
  }
  const bool all = static_cast<int>(reserved.size()) == n;
  while (M* m = reserved.pop()) free_m(m);
  return all;
}

int ms_alive() {
  return g_ms_alive.load(std::memory_order_relaxed);
}

bool helpers_ended() {
  g_creator_note.signal();
  sched.sysmon_note.signal();
  // Acquire, both: pairs with their ends; what they were counted with is visible.
  return !g_creator_alive.load(std::memory_order_acquire) && g_ms_alive.load(std::memory_order_acquire) == 0 &&
         !sched.sysmon_alive.load(std::memory_order_acquire);
}

void m_settles(M* m) {
  m->fresh = false;
  g_ms_fresh.fetch_sub(1, std::memory_order_seq_cst);                     // pairs with one_is_coming
  if (g_unheard.exchange(false, std::memory_order_seq_cst)) request_m();  // the same
}

void request_m() {
  g_creator_note.signal();
}

void request_interrupt() {
  g_interrupt.store(true, std::memory_order_relaxed);
  g_creator_note.signal();
}

void request_errand(Hook errand) {
  g_errand.store(errand, std::memory_order_release);  // pairs with creator_main
  g_creator_note.signal();
}

bool is_creator() {
  return this_g() == &g_creator_g;
}

void run_on_new_m(G* g) {
  g->state = GState::kRunnable;
  sched.lock.lock();
  sched.to_wire.push_back(g);
  sched.lock.unlock();
  request_m();
}

bool run_on_clone(G* g) {
  g->state = GState::kRunnable;
  // An M begins with all signals blocked, as the creator makes it.
  uint64_t all = kAllMasked, mask = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&all), sys_arg(&mask), 8);
  bool made = create_m(g);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&mask), 0, 8);
  return made;
}

void wire_self() {
  G* g = this_g();
  M* m = g->m.load(std::memory_order_relaxed);
  if (g->wired) return;
  preempt_forget(m);
  P* p = m->p;
  m->p = nullptr;
  m->wired = true;
  g->wired = true;
  hand_off_p(p);
}

void leave_first_m() {
  G* g = this_g();
  if (g->wired || g == sched.main_g ||
      g->m.load(std::memory_order_relaxed)->ktid.load(std::memory_order_relaxed) != sched.pid)
    return;
  park([](M*, G* prev, void*) { run_on_new_m(prev); }, nullptr);
}

void unwire_self() {
  G* g = this_g();
  M* m = enter();
  m->wired = g->wired = false;
  m->attention.store(kLostP, std::memory_order_relaxed);  // as after a call that blocked: the next enter() finds a P
  leave();
  enter();
  leave();
}

void unlink_m_locked(M* m) {
  M** link = &sched.all_ms;
  while (*link != m) link = &(*link)->all_next;
  *link = m->all_next;
  --sched.n_ms;
}

// On g0, when its wired G has ended. The process's first kernel thread ends with main, as natively, and the process
// goes on without it; with no other.
bool m_retires(M* m) {
  if (!m->wired) return false;
  uint64_t all = ~kUnmaskable;
  set_kernel_mask(m, all);
  bool first = m->ktid.load(std::memory_order_relaxed) == sched.pid;
  while (first && m->prev != sched.main_g) {
    m->note.clear();  // of a wake-up from before
    m->note.sleep();
  }
  preempt_forget(m);
  sched.lock.lock();
  unlink_m_locked(m);
  sched.lock.unlock();
  if (first) raw_syscall(SYS_exit, 0);  // its g0 has nothing to return to
  return true;
}

int start_helpers(G* self) {
  if (netpoll.prepare != nullptr && may_use(kReadiness)) netpoll.prepare();
  uint64_t all = ~kUnmaskable;
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&all), 0, 8);
  g_creator_alive.store(false, std::memory_order_relaxed);
  g_creator_note.clear();
  sched.sysmon_note.clear();
  fence_prepare();
  int error = helper_thread(creator_main, nullptr);
  // Without sysmon threads run, and take turns where they wait or yield. The creator goes on asking.
  if (error == 0) g_no_sysmon.store(sysmon_start() != 0, std::memory_order_relaxed);
  set_kernel_mask(self->m.load(std::memory_order_relaxed), self->sigmask);
  if (error != 0) return error;
  // Acquire: pairs with the creator's release.
  while (!g_creator_alive.load(std::memory_order_acquire)) yield_cpu();
  if (helpers_started != nullptr) helpers_started();
  return 0;
}

void forget_errands() {
  g_errand.store(nullptr, std::memory_order_relaxed);
  g_interrupt.store(false, std::memory_order_relaxed);
}

void forget_ms_after_fork() {
  stacks_are_free(g_ms_alive.exchange(0, std::memory_order_relaxed));
  provide_reset_after_fork();
  g_ms_fresh.store(0, std::memory_order_relaxed);
  g_unheard.store(false, std::memory_order_relaxed);
  if (g_free_ms_lock.reset_after_fork()) g_free_ms.clear();
}

}  // namespace mn
