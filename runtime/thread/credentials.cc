// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/credentials.h"

#include <errno.h>
#include <signal.h>

#include "runtime/arch/context.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Apart, as libc says that the address of errno never changes.
MN_NOINLINE int result_of(int (*call)(void* arg), void* arg) {
  int result = call(arg);
  return result == -1 ? -errno : result;
}

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

int change_credentials(int (*call)(void* arg), void* arg) {
  G* g = this_g();
  Asker asker(g);
  // A child of vfork has main's thread pointer.
  if (g == nullptr || g != sched.main_g || in_vfork_child()) return call(arg);
  release_p(enter());
  leave();
  // Without a P the M is main's until enter(). While it has the M's own TCB, handlers of the program's are for others.
  M* m = g->m.load(std::memory_order_relaxed);
  bool elsewhere = m->libc_tp != g->tp;
  if (elsewhere) set_thread_pointer(m->libc_tp);
  int result = result_of(call, arg);
  if (elsewhere) set_thread_pointer(g->tp);
  enter();
  leave();
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

}  // namespace mn
