// SPDX-License-Identifier: Apache-2.0
// G: one application thread. It lives at the top of its own slot (gpool.h), beside its TLS and TCB, so that a parked
// thread keeps two pages. System Gs (g0 of an M, sysmon) and adopted threads live elsewhere but look the same.
//
// Who may write what: fields under "running" belong to the thread that runs as this G. `next` belongs to the one queue
// that holds the G. `state` is a hint for observers. Everything atomic says its own rule.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/arch/context.h"
#include "runtime/os/lock.h"

namespace mn {

struct M;
struct G;
struct Waiter;
struct Away;
struct Guard;
struct StackClass;

// In G::sigpend, where libc's signal 33 would be: a cancellation that the thread has not learned of (thread/cancel.h).
constexpr uint64_t kCancelBit = uint64_t{1} << 32;

enum class GState : uint8_t { kFree, kRunnable, kRunning, kWaiting, kDead };

// How program code was left that a guard (sync/guard.h) waits for.
enum class Leaving : uint8_t { kUnwinds, kJumps };

// What a G has begun and a jump out of a signal handler (siglongjmp) would leave undone: it is ended before a handler
// of the program runs, and may go on when that returns.
struct Unfinished {
  explicit Unfinished(void (*how)(Unfinished*)) : end(how) {}
  void (*end)(Unfinished* self);  // outside
};

// The last entry of a dead thread's list of robust mutexes (thread/wire.h), laid out as one of those: the kernel sets a
// bit in the word when it has been through the list.
struct KernelsWord {
  std::atomic<uint32_t> word{0};  // 0: there was no list
  uint32_t others[7] = {};
  void* next = nullptr;
};

// What the program has registered with rseq(2) for this thread, which is wired then; none: area is null.
struct Rseq {
  void* area = nullptr;
  uint32_t size = 0, signature = 0;
};

constexpr int kAutodisarm = static_cast<int>(1u << 31);  // SS_AUTODISARM, which not every libc names
// sigaltstack's; none: sp is null.
struct AltStack {
  void* sp = nullptr;
  size_t size = 0;
  int flags = 0;

  bool operator==(const AltStack&) const = default;
  bool holds(const void* at) const { return reinterpret_cast<uintptr_t>(at) - reinterpret_cast<uintptr_t>(sp) < size; }
};

// In the order of use: what each switch and each call touches is in the first line of the cache, what waits touch in
// the second, what births and deaths do in the third and fourth.
struct alignas(64) G {
  Context ctx;
  void* tp = nullptr;  // thread pointer: TCB, and the value of pthread_self()

  // The M that runs it. Written by the M that switches to the G, before the switch; meaningful while it runs.
  std::atomic<M*> m{nullptr};
  G* next = nullptr;

  // Inside libmn when 1 (enter.h). Written by the running G only; signal handlers on the same thread read it.
  uint32_t locks = 1;
  GState state = GState::kFree;
  bool wired = false;        // runs on an M of its own: parks by sleeping on `note`, is never queued
  bool bound = false;        // wired for the rest of its life (thread/wire.h); written by the running G
  bool particular = false;   // has kernel state that threads it makes inherit (thread/kernel_state.h); as `bound`
  bool vforked = false;      // the caller is the child of a vfork, not the thread (in_vfork_child)
  bool vfork_keeps = false;  // set by that child: it knows its parent's thread (thread/children.h)
  bool system = false;       // g0, sysmon, creator: no program code runs on it
  bool delivering = false;   // looks for signals again, a poke need not act (signal.cc, preempt.cc); as handlers_run
  // The wake-up that made it runnable (trace.h); 0: not noted. Here, for each switch writes to this line.
  uint32_t trace_flow = 0;

  // Signals (thread/signal.cc). The mask is the G's own; the kernel's is changed when the next G's differs.
  uint64_t sigmask = 0;
  std::atomic<uint64_t> sigpend{0};  // sent to this G by number; set by senders, taken by the running G

  // What it is parked on (sync/waitq.h). `wait_key` announces the bucket; `waiter` is written under that bucket's lock.
  std::atomic<const void*> wait_key{nullptr};
  Waiter* waiter = nullptr;
  AltStack altstack;
  // Cancelled: for good, and, until a wait has ended for it, as an interruption. Set by the canceller in this order.
  std::atomic<bool> cancelled{false};
  std::atomic<bool> cancel_poke{false};
  // thread/cancel.h: how often it is held; it is to act later; the next signal is to be acted upon, wherever.
  uint16_t cancel_held = 0;
  bool cancel_due = false, cancel_now = false;
  uint8_t priority = 0;       // of a real-time policy that the kernel has granted; 0: of none
  bool sigsuspended = false;  // its wait for signals is sigsuspend
  bool on_alternate = false;  // parked in a handler on its alternate stack (signal_state.cc)
  Guard* guards = nullptr;    // what an unwinding must undo (sync/guard.h), innermost first
  uint32_t tid = 0;           // owner of mutexes: kFakeTidBase + index; of main and adopted threads the kernel's
  Note note;                  // wired Gs only

  // Running
  Unfinished* unfinished = nullptr;  // none while a handler runs
  void* (*start)(void*) = nullptr;
  void* arg = nullptr;
  void* result = nullptr;
  // Life (thread/join.cc): kLife* bits; the joiner to wake.
  std::atomic<uint32_t> life{0};
  // Signals that came while it ran and are none of the program's, of preemption (sched/preempt.h) or for a G that was
  // here before: what a call that returned EINTR may blame.
  uint32_t preempt_signals = 0;
  std::atomic<G*> joiner{nullptr};

  // Memory (gpool.cc)
  StackClass* stack_class = nullptr;
  char* slot = nullptr;        // lowest address of the slot, guard included; null: not from the pool
  char* stack_base = nullptr;  // lowest usable address of the stack, as the program sees it
  size_t stack_size = 0;       // up to the top that the program sees (TLS and TCB included, as with glibc)
  size_t guard_size = 0;
  char* own_stack = nullptr;   // mapped by itself, guard included (arena.h); null: the stack is in the slot, or none
  StackClass* home = nullptr;  // whose slot it is; stack_class says which stack it has
  uint32_t listed = 0;         // g_list_era (gpool.cc) in which its TCB is on libc's list; 0: it is not
  bool user_stack = false;
  bool explicit_policy = false;  // as the attribute said; reported, otherwise without effect
  uint16_t children = 0;         // living children of fork() (thread/children.h), under its lock
  // Signals that end its wait for signals (thread/sigwait.cc).
  std::atomic<uint64_t> sigwaits{0};
  KernelsWord kernels_word;
  struct KernelPolicy* policy = nullptr;  // thread/policy.cc; a page of its own
  char name[16] = {};                     // inherited from the creator; main's is the kernel's
  Away* away = nullptr;                   // waits that it left to run a handler (sync/away.h), innermost first

  // Handlers that ran as it left libmn, ever, and those of them that had no SA_RESTART: what a wait that ended with
  // EINTR compares, to know whether it begins again. Written by the running G.
  uint32_t handlers_run = 0, handlers_run_abrupt = 0;
  uintptr_t jump_to = 0;  // the stack pointer that a longjmp goes to; what is below is left by it
  Leaving leaving = Leaving::kUnwinds;
  std::atomic<int64_t> cpu_ns{0};  // CPU time that was charged to it (sched/cputime.h)
  Rseq rseq;
};

// The running G; null on threads that libmn has not met. A variable of the G itself, as all TLS is.
extern thread_local constinit G* tls_g __attribute__((tls_model("initial-exec")));
inline G* this_g() {
  return tls_g;
}

// The child of a vfork runs on its parent's stack, with its parent's thread pointer and memory, while the parent's
// thread sleeps in the kernel. What the kernel keeps for a process or a thread (masks, handlers, descriptors, names,
// priorities) is the child's own: a call that is about it goes to libc, and must not change what the G remembers. So it
// is of threads that the child makes, which are libc's.
extern std::atomic<int> vforks_under_way;
bool is_of_vfork_child();  // of a thread that libmn has not met, while a vfork is under way
inline bool in_vfork_child() {
  const G* g = this_g();
  if (MN_UNLIKELY(g == nullptr)) return vforks_under_way.load(std::memory_order_relaxed) != 0 && is_of_vfork_child();
  return g->vforked;
}

// Where tls_g is, from any thread pointer.
extern ptrdiff_t tls_g_offset;
inline G*& g_slot_of(void* tp) {
  return *reinterpret_cast<G**>(static_cast<char*>(tp) + tls_g_offset);
}

}  // namespace mn
