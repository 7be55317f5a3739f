// SPDX-License-Identifier: Apache-2.0
// Threads that libmn did not make: main before the first pthread_create, kernel threads that the program asked for by
// attribute, glibc's helpers (timers, aio), raw clones. On its first call such a thread becomes a wired G with an M of
// its own and without a P: it parks by sleeping in the kernel and is never queued. Main stops being wired when the
// scheduler starts (sched_start).
#include <string.h>
#include <sys/prctl.h>

#include <new>

#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

struct Adopted {
  G g;
  M m;
  Adopted* next = nullptr;
};

constinit Adopted g_main;
constinit pthread_key_t g_key = 0;
constinit SpinLock g_lock;
constinit Stack<Adopted, &Adopted::next> g_free;

uint64_t kernel_mask() {
  uint64_t mask = 0;
  raw_syscall(SYS_rt_sigprocmask, 0, 0, sys_arg(&mask), 8);
  return mask;
}

void wire(Adopted* a) {
  G* g = &a->g;
  M* m = &a->m;
  g->tp = thread_pointer();
  g->wired = true;
  g->locks = 0;
  g->state = GState::kRunning;
  g->sigmask = m->kmask = kernel_mask() & ~kUnmaskable;
  g->tid = static_cast<uint32_t>(tcb_tid(g->tp));
  m->wired = true;
  m->cur = g;
  m->inside.store(0, std::memory_order_relaxed);
  m->ktid.store(sys_gettid(), std::memory_order_relaxed);
  g->m.store(m, std::memory_order_relaxed);
  raw_syscall(SYS_prctl, PR_GET_NAME, sys_arg(g->name));
  tls_g = g;
}

// Signals are not a concern here: the thread has no G, so no handler of ours takes this lock.
Adopted* new_adopted() {
  {
    SpinGuard guard(g_lock);
    if (Adopted* a = g_free.pop()) return new (a) Adopted;
  }
  size_t size = round_up(sizeof(Adopted), kPageSize);
  void* p = map_memory(size);
  MN_CHECK(p != nullptr, "no memory to adopt a thread");
  return new (p) Adopted;
}

G* adopt() {
  if (sys_gettid() == sys_getpid() && sched.main_g == nullptr) {
    wire(&g_main);
    sched.main_g = &g_main.g;
    return &g_main.g;
  }
  Adopted* a = new_adopted();
  wire(a);
  // Its destructor runs as the thread ends, in libc.
  real.pthread_setspecific(g_key, a);
  return &a->g;
}

void forget(void* p) {
  auto* a = static_cast<Adopted*>(p);
  tls_g = nullptr;
  SpinGuard guard(g_lock);
  g_free.push(a);
}

}  // namespace

void adopt_init() {
  tls_g_offset = reinterpret_cast<char*>(&tls_g) - static_cast<char*>(thread_pointer());
  adopt_thread = adopt;
  real.pthread_key_create(&g_key, forget);
}

G* self_g() {
  G* g = this_g();
  return MN_LIKELY(g != nullptr) ? g : adopt();
}

G* thread_g(pthread_t t) {
  G* g = g_slot_of(reinterpret_cast<void*>(t));
  if (g == nullptr || g->system) return nullptr;
  return g->wired && g->slot == nullptr && g != sched.main_g ? nullptr : g;
}

}  // namespace mn
