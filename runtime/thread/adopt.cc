// SPDX-License-Identifier: Apache-2.0
// Threads that libmn did not make: main before the first pthread_create, kernel threads that the program asked for by
// attribute, glibc's helpers (timers, aio), raw clones. On its first call such a thread becomes a wired G with an M of
// its own and without a P: it parks by sleeping in the kernel and is never queued. Main stops being wired when the
// scheduler starts (sched_start).
//
// How its end is known. Each locks a robust mutex of its own and never lets go, so that the kernel marks the mutex when
// the thread is gone, after the last destructor that may call us. Nobody is told: the records of the dead are looked
// for when there may be as many as there are of the living (reap). Rejected: a key with a destructor (one of the 1,024
// that are the program's, and further destructors may call us after it), a C++ thread_local (registering its destructor
// calls malloc, in the midst of which an allocator may call us first).
#include "runtime/thread/adopt.h"

#include <sys/prctl.h>

#include <new>

#include "runtime/os/confined.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/away.h"
#include "runtime/thread/route.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit Adopted* adopted_all = nullptr;

namespace {

constinit Adopted g_main;
constinit SpinLock g_lock;
constinit Stack<Adopted, &Adopted::next> g_free;
constinit size_t g_listed = 0, g_reap_at = 8;  // g_lock

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
  g->vforked = in_vfork_child();
  m->wired = true;
  m->libc_tp = g->tp;
  m->cur = g;
  m->inside.store(0, std::memory_order_relaxed);
  m->ktid.store(static_cast<int>(g->tid), std::memory_order_relaxed);
  g->m.store(m, std::memory_order_relaxed);
  if (may_use(kQuestions)) raw_syscall(SYS_prctl, PR_GET_NAME, sys_arg(g->name));
  tls_g = g;
}

bool has_ended(const Adopted* a) {
  int word = std::atomic_ref<const int>(a->life.__data.__lock).load(std::memory_order_relaxed);
  return (static_cast<uint32_t>(word) & kAdoptedEnded) != 0;
}

// Of a thread that libc has not set up the kernel knows no list, and never learns of its end.
bool kernel_knows_robust_list(void* tp) {
  void* head = nullptr;
  size_t size = 0;
  if (!may_use(kQuestions) || raw_syscall(SYS_get_robust_list, 0, sys_arg(&head), sys_arg(&size)) != 0) return false;
  return head == static_cast<char*>(tp) + tcb_layout.robust_head && tcb_tid(tp) == sys_gettid();
}

void hold_life(Adopted* a) {
  pthread_mutexattr_t robust;
  ::pthread_mutexattr_init(&robust);
  ::pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
  ::pthread_mutex_init(&a->life, &robust);
  if (kernel_knows_robust_list(a->g.tp)) real.pthread_mutex_lock(&a->life);
}

// Signals are not a concern here: the thread has no G, so no handler of ours takes this lock.
Adopted* new_adopted() {
#ifndef __SANITIZE_THREAD__  // it would take the mutex for the one that the last thread held
  {
    SpinGuard guard(g_lock);
    if (Adopted* a = g_free.pop()) return new (a) Adopted;
  }
#endif
  size_t size = round_up(sizeof(Adopted), kPageSize);
  void* p = map_memory(size);
  MN_CHECK(p != nullptr, "no memory to adopt a thread");
  return new (p) Adopted;
}

void list(Adopted* a) {
  SpinGuard guard(g_lock);
  a->all_next = adopted_all;
  if (adopted_all != nullptr) adopted_all->all_prev = a;
  adopted_all = a;
  ++g_listed;
}

void unlist_locked(Adopted* a) {
  (a->all_prev != nullptr ? a->all_prev->all_next : adopted_all) = a->all_next;
  if (a->all_next != nullptr) a->all_next->all_prev = a->all_prev;
  --g_listed;
}

// Inside.
void reap() {
  Stack<Adopted, &Adopted::next> ended;
  {
    SpinGuard guard(g_lock);
    if (MN_LIKELY(g_listed < g_reap_at)) return;
    for (Adopted *a = adopted_all, *next; a != nullptr; a = next) {
      next = a->all_next;
      if (!has_ended(a)) continue;
      unlist_locked(a);
      ended.push(a);
    }
    g_reap_at = 2 * g_listed + 8;
  }
  while (Adopted* a = ended.pop()) {
    signals_end(&a->g);
    forget_aways(&a->g);
    SpinGuard guard(g_lock);
    g_free.push(a);
  }
}

MN_COLD G* adopt() {
  if (sched.main_g == nullptr && sys_gettid() == sys_getpid()) {
    wire(&g_main);
    sched.main_g = &g_main.g;
    sched.pid = sys_getpid();
    return &g_main.g;
  }
  Adopted* a = new_adopted();
  wire(a);
  hold_life(a);
  // The thread has a G now: no handler of ours may run while it holds the lock.
  enter();
  reap();
  list(a);
  leave();
  return &a->g;
}

}  // namespace

void adopt_init() {
  tls_g_offset = reinterpret_cast<char*>(&tls_g) - static_cast<char*>(thread_pointer());
  adopt_thread = adopt;
}

size_t adopted_threads(G** out, size_t most) {
  size_t n = 0;
  SpinGuard guard(g_lock);
  for (Adopted* a = adopted_all; a != nullptr; a = a->all_next) {
    if (has_ended(a)) continue;
    if (n < most) out[n] = &a->g;
    ++n;
  }
  return n;
}

void adopted_forget_after_fork() {
  g_lock.reset_after_fork();
  G* self = this_g();
  adopted_all = nullptr;
  g_listed = 0;
  if (!self->wired || self->slot != nullptr || self == &g_main.g) return;
  auto* a = reinterpret_cast<Adopted*>(reinterpret_cast<char*>(self) - offsetof(Adopted, g));
  a->all_next = a->all_prev = nullptr;
  hold_life(a);
  list(a);
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
