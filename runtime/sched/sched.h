// SPDX-License-Identifier: Apache-2.0
// The scheduler: G, M and P as in the Go runtime. This page says who may touch what; sched.cc switches, find.cc
// finds the next G, idle.cc starts and stops Ms, sysmon.cc takes Ps back from Ms that sleep in the kernel.
//
// G  an application thread (g.h).
// M  a kernel thread. It runs Gs while it holds a P; between them it may run its g0, whose loop looks for work.
// P  a scheduling context: run queue, timers, caches. There are exactly MN_PROCS of them.
//
// Inside and outside. A thread is *inside* libmn between enter() and leave(). Inside, it takes no signal handler (they
// are deferred), it cannot lose its P, and it may hold SpinLocks. Every switch happens inside, and both Gs of a switch
// are inside, so that the state is the same before and after. Program code runs outside. enter() does not nest.
//
//   enter():  g->locks = 1            handlers are deferred from here on; the G can no longer change its M
//             m = g->m;  m->inside = 1
//             compiler barrier
//             m->attention != 0 ?     sysmon wants the P, or has taken it
//
//   sysmon:   m->attention = kClaim;  membarrier (a full fence on every CPU that runs one of our threads)
//             m->inside == 0 and compare-exchange kClaim -> kLostP  ?  the P is sysmon's  :  withdraw
//
// Either the M's store of `inside` is seen by sysmon, which withdraws, or the M's load of `attention` sees the claim
// and the two settle it by compare-exchange. The fast path has no fence; where membarrier(2) is missing, enter() has
// one. An M whose P was taken runs on, in program code, until its next enter(): then it takes an idle P or queues its G
// and sleeps. Hence blocking in any system call, interposed or not, needs no co-operation. attention may also say that
// the running G has had its time (preempt.h): then enter() lets others run first.
//
// Publication. park() never publishes the parking G itself: it leaves a commit function and its argument in the M, and
// whoever runs next on that M calls it, on another stack. Until then the bucket lock that guards the sleep stays held.
//
// Order of locks: timer heap -> wait-queue bucket -> Sched::lock -> (none). Stack-pool locks nest in nothing.
#pragma once

#include <ucontext.h>

#include <atomic>
#include <cstdint>

#include "runtime/base/list.h"
#include "runtime/base/rand.h"
#include "runtime/sched/g.h"
#include "runtime/sched/preempt.h"
#include "runtime/sched/runq.h"
#include "runtime/sched/timer.h"
#include "runtime/sched/trace.h"

namespace mn {

constexpr int kMaxProcs = 256;
constexpr int kMaxMs = 10000;
// SIGKILL, SIGSTOP, and libc's own signals, 32 and 33.
constexpr uint64_t kUnmaskable = uint64_t{1} << 8 | uint64_t{1} << 18 | uint64_t{3} << 31;
// As Go: prime, so that it does not fall in step with the program.
constexpr uint32_t kGlobalPoll = 61;  // switches between looks at the global queue, timers and descriptors

constexpr uint32_t kRing = 256;  // Gs that wait in a P's own queue at most

constexpr int kMostWaitKinds = 16;

using Commit = void (*)(M* m, G* prev, void* arg);

struct P {
  int id = 0;
  // Who holds it; null when idle. Written by the M that acquires or releases it, and by sysmon when it takes it.
  std::atomic<M*> m{nullptr};
  P* next_idle = nullptr;         // Sched::lock
  std::atomic<uint32_t> tick{0};  // switches so far; sysmon reads it to see whether the P moves
  uint32_t next_streak = 0;       // consecutive picks of runnext
  uint32_t net_tick = 0;          // tick at which it last asked for descriptors
  uint32_t jump_tick = 0;         // tick at which sleepers last went before those who compute,
  uint32_t jumped = 0;            // and how many
  uint32_t cold = 0;              // Gs in the queues, about, that are out of the cache (sched.cc, prefetch_next)
  RunQueue<G, kRing> runq;
  TimerHeap timers;
  Stack<G, &G::next> free_gs;  // slots of the default class, kept by thread creation
  // Threads created and ended here, for finding the last one; written by the P's M, summed by anybody.
  std::atomic<uint64_t> gs_created{0}, gs_ended{0};
  uint64_t switches = 0, steals = 0, preemptions = 0;
  std::atomic<int64_t> preempted_at{0};  // when the last of them was; written by the P's M, read by sysmon
  uint64_t parks[kMostWaitKinds] = {};   // by WaitKind (sync/waitq.h)
  TraceRing* trace = nullptr;            // while it is asked for
};

// kClaim: sysmon's, in between. kLostP: until the M notices. kPreempt: set by a signal handler on the M itself.
enum Attention : uint32_t { kNone = 0, kClaim = 1, kLostP = 2, kPreempt = 3 };

constexpr int64_t kUnmarked = -1;

// kCpuTimes: somebody asked for a G's CPU time (cputime.h). kTraced: MN_TRACE (trace.h). kFenced: no
// membarrier, as fence_on_enter.
enum Observed : uint32_t { kCpuTimes = 1, kTraced = 2, kFenced = 4 };

struct M {
  G g0;
  alignas(64) G* cur = nullptr;     // what each switch touches is in one line of the cache
  P* p = nullptr;                   // written by this M, and while it sleeps by whoever wakes it
  std::atomic<uint32_t> inside{1};  // see above: plain store by this M, read by sysmon
  std::atomic<uint32_t> attention{kNone};
  Commit commit = nullptr;
  void* commit_arg = nullptr;
  G* prev = nullptr;
  uint64_t kmask = 0;     // the kernel's signal mask of this thread
  uint64_t may_hold = 0;  // of kRaised: those that a G has blocked here since the last that opened them
  AltStack altstack;      // and its alternate stack
  bool spinning = false;
  bool wired = false;            // belongs to one G, has no P
  bool own_descriptors = false;  // sysmon: none of the process's are there
  Note note;                     // where it sleeps when it has no P or nothing to do
  P* given = nullptr;            // P handed over with the wake-up; Sched::lock or the sleeping M
  M* next_idle = nullptr;        // Sched::lock
  bool listed = false;           // Sched::lock: on the list of idle Ms
  bool has_g0 = false;           // main's, whose g0 waits in its loop although the scheduler has stopped
  M* all_next = nullptr;         // Sched::lock
  Xorshift32 rand{1};
  std::atomic<int> ktid{0};
  std::atomic<uint64_t> poked{0};  // signals with which it was poked (signal_poke)
  int id = 0;
  G* born_for = nullptr;    // the wired G that it was made for
  bool fresh = false;       // made for whoever needs it, and has not found or missed work yet (m_settles)
  void* libc_tp = nullptr;  // the TCB by which libc knows this kernel thread (thread/credentials.h)
  PreemptRequest preempt;
  std::atomic<int64_t> cpu_mark{kUnmarked};  // its CPU time up to which Gs were charged (cputime.h); written by itself
};

struct Sched {
  SpinLock lock;
  Fifo<G, &G::next> global;              // Sched::lock
  std::atomic<uint32_t> global_size{0};  // its size, readable without
  P* ps[kMaxProcs] = {};
  int nprocs = 0;
  P* idle_ps = nullptr;  // Sched::lock
  std::atomic<int> n_idle_ps{0};
  std::atomic<uint32_t> observed{0};  // Observed: what else each switch has to do; beside what is read as often
  M* idle_ms = nullptr;               // Sched::lock
  int n_idle_ms = 0;                  // Sched::lock
  M* all_ms = nullptr;                // Sched::lock
  int n_ms = 0;                       // Sched::lock; made or being made
  std::atomic<int> n_spinning{0};
  M* timekeeper = nullptr;                 // Sched::lock: the idle M that sleeps until the next timer
  int64_t watched_until = INT64_MAX;       // Sched::lock: when it wakes
  std::atomic<bool> sysmon_asleep{false};  // sysmon sleeps until a P leaves the idle list
  Note sysmon_note;
  Fifo<G, &G::next> to_wire;  // Sched::lock: Gs for which the creator makes Ms
  std::atomic<bool> started{false};
  bool fence_on_enter = false;        // no membarrier(2)
  std::atomic<M*> stopping{nullptr};  // the scheduler ends, on this M (stop.cc)
  G* main_g = nullptr;                // the process's first thread, as the program sees it
  bool stays = false;                 // a helper exists that does not end with the others (the observer)
  bool main_is_libcs = false;         // forked by a thread that libc made, which stays on its kernel thread
  int pid = 0;
  std::atomic<bool> sysmon_alive{false};  // made, or being made
  // For observers, all relaxed.
  std::atomic<uint64_t> retakes{0};   // Ps taken from Ms asleep in the kernel
  std::atomic<uint64_t> handoffs{0};  // Ps of Ms that block, given to another M at once
  std::atomic<int> sysmon_ktid{0};
  std::atomic<uint64_t> wired_parks{0};  // waits of Gs that have a kernel thread of their own
  // The time when sysmon last looked; of the moment at which it was woken while it slept. Read at every park, so alone
  // on its line.
  alignas(64) std::atomic<int64_t> coarse_now{0};
};

extern Sched sched;

inline int own_pid() {
  return MN_LIKELY(sched.pid != 0) ? sched.pid : sys_getpid();
}

inline bool traced() {
  return MN_UNLIKELY((sched.observed.load(std::memory_order_relaxed) & kTraced) != 0);
}

// --- inside / outside
M* enter_slow(G* g, M* m);
// Makes the calling thread, which libmn has not met, a wired G (thread/adopt.cc).
using AdoptHook = G* (*)();
extern AdoptHook adopt_thread;
void leave_slow(G* g);

MN_INLINE M* enter() {
  G* g = this_g();
  if (MN_UNLIKELY(g == nullptr)) g = adopt_thread();
  MN_DCHECK(g->locks == 0, "enter");
  g->locks = 1;
  __asm__ volatile("" ::: "memory");
  M* m = g->m.load(std::memory_order_relaxed);
  m->inside.store(1, std::memory_order_relaxed);
  // Seq_cst: pairs with the fence in sysmon's claim().
  if (MN_UNLIKELY(sched.fence_on_enter)) std::atomic_thread_fence(std::memory_order_seq_cst);
  __asm__ volatile("" ::: "memory");  // sysmon's membarrier makes this a StoreLoad fence
  if (MN_UNLIKELY(m->attention.load(std::memory_order_relaxed) != kNone)) return enter_slow(g, m);
  return m;
}

// Without a look for signals that were deferred. By g.
MN_INLINE void leave_undelivered(G* g) {
  // Release: what was done inside is complete before sysmon may take the P (pairs with its acquire of `inside`).
  g->m.load(std::memory_order_relaxed)->inside.store(0, std::memory_order_release);
  __asm__ volatile("" ::: "memory");
  g->locks = 0;
  __asm__ volatile("" ::: "memory");
}

MN_INLINE void leave() {
  G* g = this_g();
  leave_undelivered(g);
  if (MN_UNLIKELY(g->sigpend.load(std::memory_order_relaxed) != 0)) leave_slow(g);
}

// Outside, in calls that may be made for ever without going inside: gives way if that is due.
MN_INLINE void preempt_point() {
  G* g = this_g();
  if (MN_LIKELY(g->m.load(std::memory_order_relaxed)->attention.load(std::memory_order_relaxed) == kNone)) return;
  enter();
  leave();
}

// --- switching; all inside
// Stops the running G; commit(m, g, arg) runs once its stack is free. Returns when somebody readies it.
void park(Commit commit, void* arg);
// Runs `next` at once instead of the running G.
void park_for(G* next, Commit commit, void* arg);
// First thing on a new G's stack, and after every switch.
void finish_switch();
// What a thread parks with that ends (thread/end.cc), for observers.
extern Commit end_commit;
// Makes a parked or new G runnable: to run next here, or at the tail of the queue.
enum class Place { kNext, kTail };
void ready(G* g, Place place = Place::kNext);
// The same for several, in order, at the tail. One of them the caller, g0, will run itself.
void ready_all(Fifo<G, &G::next>& gs);
// g, which is runnable, is to run before others that wait here, if it can be found (soon.cc).
void run_soon(G* g);
// Lets others run. False: there was nobody.
bool yield_now();
// The same when the running G has had its time: who woke up meanwhile goes before those who compute, too.
void yield_preempted();
// Wakes those whose time has come. They go before those who wait in the ring, as when a G is preempted: if these
// compute they would wait for a turn of each. But not again before one of these has run. On g0, with a P.
void run_timers_here(M* m, int64_t now);
// Signals that came while this thread was on g0, for somebody to take (thread/signal.cc). Null: none pending.
extern std::atomic<uint64_t> process_signals;
// Those of them that nobody could take at the time: all blocked them. sysmon tries again.
extern std::atomic<uint64_t> held_signals;
using Hook = void (*)();
extern Hook route_process_signals;
// Deferred signals are run by this hook when a G leaves (thread/signal.cc); takes the G's pending set.
using SignalHook = void (*)(G* g);
extern SignalHook deliver_signals;
// The same with the code that they interrupt, where that is not the caller; may change it.
using SignalContextHook = void (*)(G* g, ucontext_t* interrupted);
extern SignalContextHook deliver_signals_to;
// G's from now on: those of either sort that g, which is about to run, does not block.
extern SignalHook take_process_signals;
// Signals that the kernel may have raised for a G and that its M's kernel thread still holds (thread/raised.h).
constexpr uint64_t kRaised = uint64_t{1} << 12 | uint64_t{1} << 24;  // SIGPIPE, SIGXFSZ
using RaisedHook = void (*)(uint64_t signals);
extern RaisedHook drop_raised_signals;
// What sysmon is to block: what main blocks, except signals that other Gs take (thread/route.h). Null: all.
using MaskHook = uint64_t (*)();
extern MaskHook mask_for_sysmon;
void set_kernel_mask(M* m, uint64_t mask);
// --- signal_state.cc
// m, which runs g, gets the mask and the alternate stack of next, or none for g0. True: g is in a handler on its
// alternate stack, and the switch is to be switch_off_alternate's.
bool change_signal_state(M* m, G* g, G* next);
void switch_off_alternate(G* g, G* next);
constexpr uint64_t kAllMasked = ~kUnmaskable;
// Of an M that runs no G: no G's mask is the same, so each has its own set when it runs next.
constexpr uint64_t kIdleMask = ~uint64_t{0};

// --- find.cc
G* find_runnable(M* m);  // on g0; sleeps until there is work; null: the scheduler stops
bool any_work();         // in any queue
G* steal(M* m, bool runnext_too);
G* global_get(M* m);           // a fair share to the P's queue, one to run
bool run_timers(int64_t now);  // of all Ps
int64_t next_timer();          // when the earliest is due
// Whether threads wait for descriptors and this P is to ask for them: sysmon says so, or it has switched often enough.
bool net_due(const P* p);

// --- idle.cc
void wake_p();  // an M for an idle P, if nobody is looking for work already
// Until somebody gives this M a P, or, as the timekeeper or the poller, until there is something to do. True: it has a
// P.
bool sleep_idle(M* m);
void global_put(G* g);  // and wakes a P for it
void global_put_locked(G* g);
void put_idle_p_locked(P* p);
P* get_idle_p_locked();
void acquire_p(M* m, P* p);
// Takes an idle M off the list and gives it `p`, which may be null; null when there is none. The caller rouses it.
M* take_idle_m_locked(P* p);
void rouse(M* m);
void hand_off_p(P* p);  // of an M that blocks: to an M that runs it, or idle
// The caller's, which is bound to block in the kernel; it takes another when it next enters libmn. Inside.
void release_p(M* m);
// By sysmon: when nobody asks for descriptors, an idle M is woken to.
void poll_neglected(int64_t now);

// --- start.cc
// Makes the Ps and, of the calling thread, M0 (when its G is main's; a foreign thread stays wired). Starts the helper
// threads. 0 or errno.
int sched_start(G* self);
// The scheduler's state becomes that of a process that has not begun. No other thread of the runtime exists.
void sched_forget();
// In a forked child, whose only thread the caller is: forgets all Ms, Ps' queues and Gs but the caller's, which is main
// from now on, wired, as main is before the scheduler starts. Inside before and after.
void sched_reset_after_fork();

// --- ms.cc
// The calling kernel thread, one of libmn's own that blocks all signals, becomes g on m: outside, without a P.
void be_system_thread(G* g, M* m);
// On g0, when nobody uses the M any more: it is on no list afterwards.
void unlink_m_locked(M* m);
// While the scheduler stops: tells creator and sysmon, and whether all kernel threads of the runtime but the caller's
// are about to end.
bool helpers_ended();
void request_m();  // ask the creator thread for one more M
// Has the creator thread end the poller's sleep, for whoever cannot write to its descriptor.
void request_interrupt();
// Runs once on the creator thread, soon. May be called in a signal handler. A later errand replaces one that has not
// been begun.
void request_errand(Hook errand);
// The caller is that thread, and must not wait for an errand.
bool is_creator();
// Called when the helper threads have been started, at first and again in a forked child. Null: nobody cares.
extern Hook helpers_started;
void g0_loop(M* m);
// Begins an M's life with the G that it is born for, until that ends. On g0.
void run_wired(M* m);
void m_init(M* m);

// The running G keeps its M and gives the P up; inside. When it ends, so does the M.
void wire_self();
// The running G, if it is not main, leaves the process's first kernel thread, which cannot end while main goes on, for
// good, and is wired to a new one, if one can be had; inside.
void leave_first_m();
// A G that is new, or parked and nowhere else, goes on as a wired one, on an M made for it; inside. If none can be had,
// it goes on as it is.
void run_on_new_m(G* g);
// The same of a G that is new, on an M whose kernel thread the calling one makes, which is wired: it inherits what that
// has. Outside. False: none can be had.
bool run_on_clone(G* g);
// Takes wire_self() back; outside before and after.
void unwire_self();
bool m_retires(M* m);
// m is fresh, and has found work or is idle by now; or it ends.
void m_settles(M* m);

// --- stop.cc
// Ends the scheduler in a process whose only thread main, the caller, is. Outside before and after. False: it cannot,
// for main is bound to another kernel thread than the first.
bool sched_stop();
// An M that sees that, on g0; its kernel thread ends then.
void m_stops(M* m);
// By one of the runtime's kernel threads, at its end.
void kernel_thread_ends();
// Until the kernel knows none of those that have said so.
void await_ends();

// --- fence.cc
// Before the first helper thread: what is cheap only while the process has one kernel thread.
void fence_prepare();
// membarrier(2), or the caller's half of what stands in for it: enter() has a fence where that is missing. False: it
// has just been refused, and enter() of other threads had none yet.
bool fence_all();
void fence_on_enter_from_now();

// --- sysmon.cc
int sysmon_start();
void sysmon_wake();
// Returns when sysmon has begun another look: what has been given up (os/confined.h) it does not use any more.
void sysmon_await_look();
// mask_for_sysmon() says something else. Returns when sysmon blocks those of `blocked` that it is to block.
void sysmon_mask_changed(uint64_t blocked);
// Whether it may take one of them from the kernel.
bool sysmon_takes(uint64_t signals);

}  // namespace mn
