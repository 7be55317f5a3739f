// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/credentials.h"

#include <signal.h>

#include "runtime/os/syscall.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

constinit std::atomic<int> g_asker{0};  // a kernel thread that does not block SIGABRT
constinit std::atomic<bool> g_handed{false};

class Asker {
 public:
  explicit Asker(const G* g) {
    constexpr uint64_t kBit = uint64_t{1} << (SIGABRT - 1);
    if (g != nullptr && (g->sigmask & kBit) == 0)
      g_asker.store(static_cast<int>(sys_gettid()), std::memory_order_relaxed);
  }
  ~Asker() { g_asker.store(0, std::memory_order_relaxed); }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;
};

}  // namespace

void abort_by_asker() {
  int asker = g_asker.load(std::memory_order_relaxed);
  if (asker == 0) return;
  g_handed.store(true, std::memory_order_relaxed);
  uint64_t all = ~uint64_t{0};
  if (raw_syscall(SYS_tgkill, sys_getpid(), asker, SIGABRT) != 0) return;
  for (;;) raw_syscall(SYS_rt_sigsuspend, sys_arg(&all), sizeof all);
}

bool aborts_for_another() {
  return g_handed.load(std::memory_order_relaxed) && sys_gettid() == g_asker.load(std::memory_order_relaxed);
}

// Main's kernel thread may have what it had before the last change from now on. So it does nothing more for the
// program, and makes no kernel thread, which would inherit that.
void main_not_asked(bool raw) {
  const G* main = sched.main_g;
  const M* m = main->m.load(std::memory_order_relaxed);
  tcb_set_tid(main->tp, kFakeTidBase);
  const bool first = m->libc_tp == m->g0.tp && m->ktid.load(std::memory_order_relaxed) == sched.pid;
  if (first) tcb_set_tid(m->g0.tp, static_cast<int>(m->g0.tid));
  if (raw) return;
  // Pairs with libc, which marks a TCB, with a locked instruction, and then reads its tid.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  while (tcb_asked_for_credentials(main->tp) || (first && tcb_asked_for_credentials(m->g0.tp))) yield_cpu();
}

int change_credentials(int (*call)(void* arg), void* arg) {
  Asker asker(this_g());
  return call(arg);
}

}  // namespace mn
