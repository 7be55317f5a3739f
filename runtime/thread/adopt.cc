// SPDX-License-Identifier: Apache-2.0
// Threads that libmn did not make: main before the first pthread_create, kernel threads that the program asked for by
// attribute, glibc's helpers (timers, aio), raw clones. On its first call such a thread becomes a wired G with an M of
// its own and without a P: it parks by sleeping in the kernel and is never queued. Main stops being wired when the
// scheduler starts (sched_start).
#include "runtime/thread/adopt.h"

#include <string.h>
#include <sys/prctl.h>

#include <new>

#include "runtime/os/confined.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/route.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit Adopted* adopted_all = nullptr;

namespace {

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
  m->libc_tp = g->tp;
  m->cur = g;
  m->inside.store(0, std::memory_order_relaxed);
  m->ktid.store(static_cast<int>(g->tid), std::memory_order_relaxed);
  g->m.store(m, std::memory_order_relaxed);
  if (may_use(kQuestions)) raw_syscall(SYS_prctl, PR_GET_NAME, sys_arg(g->name));
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

MN_COLD G* adopt() {
  if (sched.main_g == nullptr && sys_gettid() == sys_getpid()) {
    wire(&g_main);
    sched.main_g = &g_main.g;
    return &g_main.g;
  }
  Adopted* a = new_adopted();
  wire(a);
  {
    // The thread has a G now: no handler of ours may run while it holds the lock.
    enter();
    SpinGuard guard(g_lock);
    a->all_next = adopted_all;
    if (adopted_all != nullptr) adopted_all->all_prev = a;
    adopted_all = a;
  }
  leave();
  // Its destructor runs as the thread ends, in libc.
  real.pthread_setspecific(g_key, a);
  return &a->g;
}

void forget(void* p) {
  auto* a = static_cast<Adopted*>(p);
  enter();
  signals_end(&a->g);
  leave();
  tls_g = nullptr;
  SpinGuard guard(g_lock);
  (a->all_prev != nullptr ? a->all_prev->all_next : adopted_all) = a->all_next;
  if (a->all_next != nullptr) a->all_next->all_prev = a->all_prev;
  g_free.push(a);
}

}  // namespace

void adopt_init() {
  tls_g_offset = reinterpret_cast<char*>(&tls_g) - static_cast<char*>(thread_pointer());
  adopt_thread = adopt;
  real.pthread_key_create(&g_key, forget);
}

size_t adopted_threads(G** out, size_t most) {
  size_t n = 0;
  SpinGuard guard(g_lock);
  for (Adopted* a = adopted_all; a != nullptr; a = a->all_next, ++n)
    if (n < most) out[n] = &a->g;
  return n;
}

void adopted_forget_after_fork() {
  g_lock.reset_after_fork();
  G* self = this_g();
  adopted_all = nullptr;
  if (!self->wired || self->slot != nullptr || self == &g_main.g) return;
  auto* a = reinterpret_cast<Adopted*>(reinterpret_cast<char*>(self) - offsetof(Adopted, g));
  a->all_next = a->all_prev = nullptr;
  adopted_all = a;
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
