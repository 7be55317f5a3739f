// SPDX-License-Identifier: Apache-2.0
// Death of a thread, and pthread_exit.
//
// The order of the last acts is libc's: C++ thread_local destructors, thread-specific data, then libc's own state. The
// last thread of the process calls exit(0). At last the G is published as dead by its successor, once its stack is
// free: to the joiner, who runs next at once if one waits, or to the pool.
//
// What glibc does (start_thread, after the routine; thread-freeres.c; nptl_free_tcb.c), and where that is done here:
//
//   destructors of thread_local objects           thread_end
//   thread-specific data, and their blocks        thread_end; tcb_retire_self (os/tcb.cc)
//   RPC, resolver, strsignal, strerror, dlerror   libc_state_end (os/libc_state.cc); of RPC nothing
//   malloc's cache and arena                      stay with the slot
//   debugger's event of the death                 need not be
//   the last thread calls exit(0)                 exit_if_last
//   no more signals to oneself                    signals_end (route.cc)
//   robust mutexes                                leave_kernel_thread (wire.cc): by the kernel
//   getrandom's state                             stays with the slot
//   the stack's memory to the system              gpool_scavenge, when it stays free
//   a set*id that waits for this thread           main_not_asked (credentials.h); others are not
//   priority protection's data                    libc_state_end
//   dynamic TLS                                   tcb_retire_self, and tcb_recycle
//   detached: TCB and stack to the cache          commit_end, once its stack is not in use
//   the kernel clears tid, which wakes joiners    commit_end; with robust mutexes await_kernels_word (wire.cc)
//
// Main, whose kernel thread libc ends: thread-specific data only, as there.
//
// Main is a G whose first frames are libc's. When it calls pthread_exit or is cancelled, libc unwinds to a jump buffer
// of its own and then ends the kernel thread, which may be running other Gs by then; so that buffer, the outermost of
// the chain, is made to lead to main_ended() instead. Only main itself can do that (the chain is its own), and it must
// have been done before libc finds a cancellation: when the scheduler starts, which main does as a rule. Where it did
// not, or before libc had set the buffer up (a constructor that makes threads), main is told to when it is cancelled
// (cancel.cc).
#include "runtime/thread/end.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/arch/context.h"
#include "runtime/os/libc_state.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sync/away.h"
#include "runtime/thread/children.h"
#include "runtime/thread/credentials.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/route.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {
namespace {

constinit std::atomic<bool> g_main_ended{false};
constinit std::atomic<bool> g_exiting{false};
constinit std::atomic<bool> g_main_led{false};  // main's outermost buffer leads to main_ended
// A thread has ended by the system call. libc does not count such ends, so it never finds the last thread and never
// calls exit(); the kernel ends the process with the status of the last.
constinit std::atomic<bool> g_raw_exit{false};
constinit std::atomic<int64_t> g_extra_alive{0};
constinit std::atomic<uint64_t> g_extra_created{0};

void count_end() {
  M* m = enter();
  if (m->p != nullptr)
    m->p->gs_ended.store(m->p->gs_ended.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  else
    count_kernel_thread(-1);
  leave();
}

// Ends the process when no thread is left. Each ending thread counts itself first and then looks whether main has
// ended; main first says so and then counts. The StoreLoad fence between the two is main's alone (membarrier), for it
// ends once.
void exit_if_last(int status) {
  if (sched.fence_on_enter) std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with main_ended
  __asm__ volatile("" ::: "memory");
  if (MN_LIKELY(!g_main_ended.load(std::memory_order_relaxed))) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with itself in the other ending threads
  if (threads_alive() != 0) return;
  if (g_exiting.exchange(true, std::memory_order_relaxed)) return;
  if (g_raw_exit.load(std::memory_order_relaxed)) raw_syscall(SYS_exit_group, status);
  ::exit(0);
}

// On the successor's stack, with the bucket of &g->life locked since thread_end.
void commit_end(M*, G* g, void*) {
  Bucket* b = bucket_of(&g->life);
  uint32_t life = g->life.load(std::memory_order_relaxed);
  // Release: pairs with the acquire of joiners; result is visible. All writers of life hold the bucket's lock.
  g->life.store(life | kDead, std::memory_order_release);
  G* joiner = take_waiter(b, &g->life);
  b->lock.unlock();
  if (joiner != nullptr) ready(joiner);
  if ((life & kDetached) != 0) give_slot(g);
}

void say_that_main_ended() {
  g_main_ended.store(true, std::memory_order_seq_cst);  // pairs with exit_if_last
  fence_all();
}

// What remains when the program's part of the thread is over.
[[noreturn]] void vanish(G* g, int status, bool raw) {
  forget_policy(g);
  if (g->wired) leave_kernel_thread(g);
  if (g->slot != nullptr) {
    count_end();
    tcb_retire_self();
  }
  exit_if_last(status);
  if (g->wired && g == sched.main_g && sched.started.load(std::memory_order_relaxed)) main_not_asked(raw);
  M* m = enter();
  forget_aways(g);
  // A cancellation may have jumped out of libc's signal handler, which leaves its signal blocked.
  if (g->cancelled.load(std::memory_order_relaxed)) set_kernel_mask(m, g->sigmask);
  signals_end(g);
  children_orphaned(g);
  Bucket* b = bucket_of(&g->life);
  b->lock.lock();
  Waiter* w = first_waiter(b, &g->life);
  G* joiner = w != nullptr && !w->g->wired && !g->wired ? take_waiter(b, &g->life) : nullptr;
  if (joiner != nullptr)
    park_for(joiner, commit_end, nullptr);
  else
    park(commit_end, nullptr);
  fatal("a dead thread was resumed", "thread/end.cc");
}

[[noreturn]] void main_ended() {
  say_that_main_ended();
  run_key_destructors();  // as glibc, which leaves main's thread_local objects alone
  vanish(this_g(), 0, false);
}

}  // namespace

uint64_t threads_created() {
  uint64_t n = g_extra_created.load(std::memory_order_relaxed);
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i)
    n += sched.ps[i]->gs_created.load(std::memory_order_relaxed);
  return n;
}

int64_t threads_alive() {
  int64_t n = 0;
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i)
    // Seq_cst, as for created: pairs with the order of a thread's creation and end; ended first: never below.
    n -= static_cast<int64_t>(sched.ps[i]->gs_ended.load(std::memory_order_seq_cst));
  for (int i = 0; i < sched.nprocs && sched.ps[i] != nullptr; ++i)
    n += static_cast<int64_t>(sched.ps[i]->gs_created.load(std::memory_order_seq_cst));  // as above
  return n + g_extra_alive.load(std::memory_order_seq_cst);  // pairs with count_kernel_thread
}

void count_kernel_thread(int delta) {
  g_extra_alive.fetch_add(delta, std::memory_order_seq_cst);  // pairs with threads_alive
  if (delta > 0) g_extra_created.fetch_add(1, std::memory_order_relaxed);
}

void threads_forget_after_fork() {
  g_extra_alive.store(0, std::memory_order_relaxed);
  g_extra_created.store(0, std::memory_order_relaxed);
  g_raw_exit.store(false, std::memory_order_relaxed);
  this_g()->joiner.store(nullptr, std::memory_order_relaxed);
  // A thread that forked is the child's main thread: when it ends, so does the child.
  g_main_ended.store(this_g()->slot != nullptr, std::memory_order_relaxed);
  if (this_g()->slot != nullptr) count_kernel_thread(1);
}

void give_slot(G* g) {
  if (g->slot != nullptr && g != sched.main_g) gpool_put(g);
}

void ends_init() {
  end_commit = commit_end;
}

void thread_end(G* g) {
  real.__call_tls_dtors();
  run_key_destructors();
  libc_state_end();
  vanish(g, 0, false);
}

void thread_exit_raw(int status) {
  G* g = self_g();
  g_raw_exit.store(true, std::memory_order_relaxed);  // exit_if_last has a fence
  _pthread_cleanup_buffer none{};
  real._pthread_cleanup_pop(&none, 0);  // guards whose frames the next thread on this stack does not have
  if (g == sched.main_g && g->slot == nullptr) say_that_main_ended();
  vanish(g, status, true);
}

// glibc's layout of __pthread_unwind_buf_t: the chain goes through the first private word; program counter and stack
// pointer of the jump buffer are mangled with the pointer guard (sysdeps/unix/sysv/linux/x86_64/____longjmp_chk.S).
bool lead_main_to_its_end(G* g) {
  if (MN_LIKELY(g_main_led.load(std::memory_order_relaxed) || g != sched.main_g || g->slot != nullptr)) return true;
  if (!sched.started.load(std::memory_order_relaxed)) return false;
  __pthread_unwind_buf_t here;
  real.__pthread_register_cancel(&here);
  auto* outermost = static_cast<__pthread_unwind_buf_t*>(here.__pad[0]);
  real.__pthread_unregister_cancel(&here);
  while (outermost != nullptr && outermost->__pad[0] != nullptr)
    outermost = static_cast<__pthread_unwind_buf_t*>(outermost->__pad[0]);
  if (outermost == nullptr) return false;
  constexpr int kJbPc = 7;
  auto* jmpbuf = reinterpret_cast<uint64_t*>(&outermost->__cancel_jmp_buf[0]);
  jmpbuf[kJbPc] = mangle_pointer(reinterpret_cast<uint64_t>(bottom_stub(main_ended)));
  g->result = PTHREAD_CANCELED;  // unless it calls pthread_exit
  g_main_led.store(true, std::memory_order_relaxed);
  return true;
}

bool main_is_led(const G* g) {
  return g != sched.main_g || g->slot != nullptr || g_main_led.load(std::memory_order_relaxed);
}

void thread_exit(void* result) {
  G* g = self_g();
  bool led = lead_main_to_its_end(g);
  MN_CHECK(led || !sched.started.load(std::memory_order_relaxed), "main's unwind buffer");
  g->result = result;
  real.pthread_exit(result);
  __builtin_unreachable();
}

}  // namespace mn
