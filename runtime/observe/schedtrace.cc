// SPDX-License-Identifier: Apache-2.0
// A line is a look at counters and states that others are changing: its figures need not add up.
#include "runtime/observe/schedtrace.h"

#include "runtime/base/options.h"
#include "runtime/observe/output.h"
#include "runtime/observe/stats.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/netpoll.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr int64_t kNsPerMs = 1000000;

struct Gs {
  unsigned runnable = 0, running = 0, waiting = 0;
};

void count(G* g, void* arg) {
  auto* gs = static_cast<Gs*>(arg);
  if (g->system || ended(g)) return;
  WaitRecord wait;
  if (look_at_wait(g, &wait, nullptr, nullptr)) {
    ++gs->waiting;
    return;
  }
  switch (g->state) {
    case GState::kRunnable:
      ++gs->runnable;
      break;
    case GState::kRunning:
      ++gs->running;
      break;
    case GState::kWaiting:
      ++gs->waiting;
      break;
    case GState::kFree:
    case GState::kDead:
      break;
  }
}

struct Ms {
  int all = 0, idle = 0, blocked = 0;
};

Ms count_ms() {
  Ms ms;
  SpinGuard guard(sched.lock);
  ms.all = sched.n_ms;
  ms.idle = sched.n_idle_ms;
  // Those that run a G and have lost their P, or never had one.
  for (const M* m = sched.all_ms; m != nullptr; m = m->all_next)
    if (m->wired || m->attention.load(std::memory_order_relaxed) == kLostP) ++ms.blocked;
  return ms;
}

void print(int64_t now, int64_t begin) {
  Gs gs;
  if (sched.main_g != nullptr && sched.main_g->slot == nullptr) count(sched.main_g, &gs);
  gpool_for_each(count, &gs);
  Ms ms = count_ms();
  Counters sum = counters_now();
  Text line;
  line << "SCHED " << (now - begin) / kNsPerMs << "ms: procs=" << sched.nprocs
       << " idleprocs=" << sched.n_idle_ps.load(std::memory_order_relaxed) << " ms=" << ms.all
       << " spinningms=" << sched.n_spinning.load(std::memory_order_relaxed) << " idlems=" << ms.idle
       << " blockedms=" << ms.blocked << " gs=" << gs.runnable + gs.running + gs.waiting << " runnable=" << gs.runnable
       << " running=" << gs.running << " waiting=" << gs.waiting
       << " netpoll=" << netpoll.waiting.load(std::memory_order_relaxed) << " switches=" << sum.switches
       << " steals=" << sum.steals << " retakes=" << sched.retakes.load(std::memory_order_relaxed)
       << " handoffs=" << sched.handoffs.load(std::memory_order_relaxed) << " preemptions=" << sum.preemptions
       << " runqueue=" << sched.global_size.load(std::memory_order_relaxed) << " [";
  for (int i = 0; i < sched.nprocs; ++i) {
    // 256 Ps may not fit in a line of text: those that do not are left out, and that is said.
    if (line.size() > 490) {
      line << " ...";
      break;
    }
    line << (i != 0 ? " " : "") << sched.ps[i]->runq.size();
  }
  line << "]\n";
  output(line);
}

}  // namespace

int64_t schedtrace_tick(int64_t now) {
  static constinit int64_t begin = 0, due = 0;
  if (options.schedtrace == 0) return kForever;
  if (begin == 0) begin = due = now;
  // Acquire: pairs with sched_start; before it is through there is nothing to look at.
  if (!sched.started.load(std::memory_order_acquire)) return now + kNsPerMs;
  if (now < due) return due;
  print(now, begin);
  auto period = static_cast<int64_t>(options.schedtrace) * kNsPerMs;
  due += period;
  if (due <= now) due = now + period;  // lines that were missed are not made up for
  return due;
}

}  // namespace mn
