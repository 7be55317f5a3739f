// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/cputime.h"

#include "runtime/os/clock.h"

namespace mn {
namespace {

constexpr int kTries = 100;  // then what has been charged must do: it switches all the time

int64_t mine() {
  M* m = enter();
  G* g = this_g();
  charge_cpu_time(m, g);
  int64_t ns = g->cpu_ns.load(std::memory_order_relaxed);
  leave();
  return ns;
}

}  // namespace

void charge_cpu_time(M* m, G* g) {
  int64_t now = kernel_clock_ns(CLOCK_THREAD_CPUTIME_ID);
  int64_t mark = m->cpu_mark.load(std::memory_order_relaxed);
  if (mark != kUnmarked && !g->system)
    g->cpu_ns.store(g->cpu_ns.load(std::memory_order_relaxed) + now - mark, std::memory_order_relaxed);
  // Release: pairs with the acquire in cpu_time.
  m->cpu_mark.store(now, std::memory_order_release);
}

int64_t cpu_time(G* g) {
  sched.observed.fetch_or(kCpuTimes, std::memory_order_relaxed);
  if (g == this_g()) return mine();
  for (int i = 0; i < kTries; ++i) {
    M* m = g->m.load(std::memory_order_relaxed);
    int64_t ns = g->cpu_ns.load(std::memory_order_relaxed);
    if (g->state != GState::kRunning || m == nullptr || m->cur != g) return ns;
    // Acquire: pairs with charge_cpu_time; the charge that goes with a mark is seen when the mark is.
    int64_t mark = m->cpu_mark.load(std::memory_order_acquire);
    if (mark == kUnmarked) return ns;
    int64_t now = kernel_clock_ns(thread_cpu_clock(m->ktid.load(std::memory_order_relaxed)));
    // Acquire: pairs with it, too.
    if (m->cpu_mark.load(std::memory_order_acquire) == mark && g->cpu_ns.load(std::memory_order_relaxed) == ns &&
        m->cur == g)
      return ns + now - mark;
  }
  return g->cpu_ns.load(std::memory_order_relaxed);
}

}  // namespace mn
