// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/provide.h"

#include <signal.h>

#include "runtime/os/confined.h"
#include "runtime/os/kernel_thread.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constexpr int kMostProvided = 1000;
constexpr int kHelpers = 2;  // creator and sysmon
constexpr int kSpare = 1;    // an M that the creator makes ahead of need
// Within what libc keeps of stacks of that size, and what await_ends() remembers.
constexpr int kMostStacks = 100;

// Requests are numbered; the creator says how far it is.
constinit std::atomic<uint32_t> g_asked{0}, g_done{0};
constinit std::atomic<uint32_t> g_taken{0};
constinit std::atomic<int> g_wanted{0};
constinit std::atomic<int> g_beginning{0};
constinit std::atomic<int> g_free_stacks{0};

bool take_free_stack() {
  int n = g_free_stacks.load(std::memory_order_relaxed);
  while (n > 0)
    if (g_free_stacks.compare_exchange_weak(n, n - 1, std::memory_order_relaxed)) return true;
  return false;
}

// Kernel threads that exist all at once, and end.
struct Crowd {
  std::atomic<int> wanted{0}, there{0}, ending{0};
};

void* join_crowd(void* arg) {
  auto* crowd = static_cast<Crowd*>(arg);
  crowd->there.fetch_add(1, std::memory_order_relaxed);
  while (crowd->there.load(std::memory_order_relaxed) < crowd->wanted.load(std::memory_order_relaxed)) yield_cpu();
  kernel_thread_ends();
  crowd->ending.fetch_add(1, std::memory_order_release);  // pairs with have_stacks
  return nullptr;
}

// The scheduler does not run, and if it is to run again libc must have the stacks for its kernel threads.
void have_stacks(int n) {
  if (n > kMostStacks - kHelpers) n = kMostStacks - kHelpers;
  static constinit Crowd crowd;
  crowd.there.store(0, std::memory_order_relaxed);
  crowd.ending.store(0, std::memory_order_relaxed);
  crowd.wanted.store(n + kHelpers, std::memory_order_relaxed);
  uint64_t all = kAllMasked, mask = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&all), sys_arg(&mask), 8);
  int made = 0;
  while (made < n + kHelpers && create_kernel_thread(join_crowd, &crowd) == 0) ++made;
  crowd.wanted.store(made, std::memory_order_relaxed);
  // Acquire: pairs with join_crowd; await_ends() knows them.
  while (crowd.ending.load(std::memory_order_acquire) < made) yield_cpu();
  await_ends();
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&mask), 0, 8);
  // Those that were free before are among them.
  const int before = g_free_stacks.load(std::memory_order_relaxed);
  const int more = made - kHelpers > before ? made - kHelpers - before : 0;
  if (reserve_ms(before + more + 1)) stacks_are_free(more);  // one for the kernel thread that there is
}

bool all_have_begun() {
  bool sysmon =
      !sched.sysmon_alive.load(std::memory_order_relaxed) || sched.sysmon_ktid.load(std::memory_order_relaxed) != 0;
  return sysmon && g_beginning.load(std::memory_order_acquire) == 0;  // pairs with m_has_begun
}

}  // namespace

void provide(uint32_t taken, int64_t threads) {
  const bool no_more = (taken & kThreads) != 0;
  if (no_more) gpool_share();
  // Acquire: pairs with the release in sched_start.
  if (!sched.started.load(std::memory_order_acquire)) {
    enter();
    const size_t stacks = no_more ? gpool_kept() : 0;
    leave();
    if (stacks != 0) have_stacks(static_cast<int>(stacks < kMostStacks ? stacks : kMostStacks) + kSpare);
    means_lost.fetch_or(taken, std::memory_order_relaxed);
    return;
  }
  enter();
  int64_t wanted = no_more ? threads + static_cast<int64_t>(gpool_kept()) + kSpare : 0;
  leave();
  g_wanted.store(static_cast<int>(wanted < kMostProvided ? wanted : kMostProvided), std::memory_order_relaxed);
  g_taken.fetch_or(taken, std::memory_order_relaxed);
  // Acq_rel: pairs with provide_if_asked, which sees the two words above.
  const uint32_t number = g_asked.fetch_add(1, std::memory_order_acq_rel) + 1;
  request_m();
  // Acquire: pairs with provide_if_asked.
  while (static_cast<int32_t>(g_done.load(std::memory_order_acquire) - number) < 0) yield_cpu();
}

void provide_if_asked(bool (*make_m)()) {
  const uint32_t asked = g_asked.load(std::memory_order_acquire);  // Acquire: pairs with provide.
  if (MN_LIKELY(asked == g_done.load(std::memory_order_relaxed))) return;
  while (ms_alive() < g_wanted.load(std::memory_order_relaxed) && make_m()) {
  }
  if (g_wanted.load(std::memory_order_relaxed) != 0) reserve_ms(1);  // for main, in a forked child
  while (!all_have_begun()) yield_cpu();
  means_lost.fetch_or(g_taken.load(std::memory_order_relaxed), std::memory_order_relaxed);
  g_done.store(asked, std::memory_order_release);  // pairs with provide
}

// libc takes a free stack before it maps one, so each M uses one up, also while more can be had.
bool may_make_m(bool is_spare) {
  return take_free_stack() || may_use(kThreads) || (!is_spare && may_use(kTrials));
}

void m_begins() {
  g_beginning.fetch_add(1, std::memory_order_relaxed);
}

void m_has_begun() {
  g_beginning.fetch_sub(1, std::memory_order_release);  // pairs with all_have_begun
}

void stacks_are_free(int n) {
  const int sum = g_free_stacks.load(std::memory_order_relaxed) + n;
  g_free_stacks.store(sum < kMostStacks ? sum : kMostStacks, std::memory_order_relaxed);
}

void provide_reset_after_fork() {
  g_beginning.store(0, std::memory_order_relaxed);
  g_done.store(g_asked.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

}  // namespace mn
