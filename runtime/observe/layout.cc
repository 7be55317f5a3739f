// SPDX-License-Identifier: Apache-2.0
// What tools outside the process need to know to read the runtime's state: where things are, how large, and what the
// numbers mean. It is data in the library, found in its dynamic symbol table, so that it fits the library that a
// process has mapped, needs no debug information, is in core files, and costs a running program nothing.
//
// Readers stop nothing and lock nothing. What they see is torn now and then: each must take a pointer that leads
// nowhere, a list that runs in a circle, or a G that is another's by now, for what it is (scripts/mnlib/state.py).
#include "runtime/observe/layout.h"

#include <ucontext.h>

#include "runtime/base/check.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/arena.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/adopt.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/standin.h"
#include "runtime/thread/thread.h"

namespace mn {

// Of private members.
struct Offsets {
  using Queue = RunQueue<G, kRing>;
  static constexpr uint64_t kHead = offsetof(P, runq) + offsetof(Queue, head_);
  static constexpr uint64_t kTail = offsetof(P, runq) + offsetof(Queue, tail_);
  static constexpr uint64_t kRunnext = offsetof(P, runq) + offsetof(Queue, runnext_);
  static constexpr uint64_t kRingOf = offsetof(P, runq) + offsetof(Queue, ring_);
  static constexpr uint64_t kNextTimer = offsetof(P, timers) + offsetof(TimerHeap, next_);
};

namespace {

constexpr uint64_t number(auto v) {
  return static_cast<uint64_t>(v);
}

constexpr uint64_t reg(int index) {
  return offsetof(ucontext_t, uc_mcontext.gregs) + sizeof(greg_t) * number(index);
}

// NOLINTBEGIN(bugprone-sizeof-expression): the table has the sizes of pointers, too
#define FIELD(type, field) \
  { #type "." #field, sizeof(type::field), offsetof(type, field) }
#define VARIABLE(name, variable) \
  { name, sizeof(variable), &(variable) }
#define CONSTANT(name, value) \
  { name, 0, number(value) }

constinit const LayoutEntry kEntries[] = {
    VARIABLE("sched", sched),
    FIELD(Sched, nprocs),
    FIELD(Sched, ps),
    FIELD(Sched, global_size),
    FIELD(Sched, n_idle_ps),
    FIELD(Sched, n_idle_ms),
    FIELD(Sched, all_ms),
    FIELD(Sched, n_ms),
    FIELD(Sched, n_spinning),
    FIELD(Sched, started),
    FIELD(Sched, observed),
    FIELD(Sched, main_g),
    FIELD(Sched, retakes),
    FIELD(Sched, handoffs),
    FIELD(Sched, wired_parks),
    FIELD(Sched, sysmon_ktid),
    CONSTANT("Sched.most_ms", kMaxMs),
    CONSTANT("observed.cpu_times", kCpuTimes),

    CONSTANT("P", sizeof(P)),
    FIELD(P, id),
    FIELD(P, m),
    FIELD(P, tick),
    FIELD(P, gs_created),
    FIELD(P, gs_ended),
    FIELD(P, switches),
    FIELD(P, steals),
    FIELD(P, preemptions),
    FIELD(P, parks),
    FIELD(P, timers),
    {"P.head", sizeof(uint32_t), Offsets::kHead},
    {"P.tail", sizeof(uint32_t), Offsets::kTail},
    {"P.runnext", sizeof(G*), Offsets::kRunnext},
    {"P.ring", kRing * sizeof(G*), Offsets::kRingOf},
    {"P.next_timer", sizeof(int64_t), Offsets::kNextTimer},

    CONSTANT("M", sizeof(M)),
    FIELD(M, cur),
    FIELD(M, p),
    FIELD(M, attention),
    FIELD(M, spinning),
    FIELD(M, wired),
    FIELD(M, ktid),
    FIELD(M, id),
    FIELD(M, all_next),
    CONSTANT("attention.lost_p", kLostP),

    CONSTANT("G", sizeof(G)),
    FIELD(G, ctx),
    FIELD(G, tp),
    FIELD(G, m),
    FIELD(G, state),
    FIELD(G, wired),
    FIELD(G, system),
    FIELD(G, wait_key),
    FIELD(G, waiter),
    FIELD(G, cpu_ns),
    FIELD(G, life),
    FIELD(G, slot),
    FIELD(G, stack_base),
    FIELD(G, stack_size),
    FIELD(G, tid),
    FIELD(G, name),
    CONSTANT("tid.first", kFakeTidBase),
    CONSTANT("state.free", GState::kFree),
    CONSTANT("state.runnable", GState::kRunnable),
    CONSTANT("state.running", GState::kRunning),
    CONSTANT("state.waiting", GState::kWaiting),
    CONSTANT("state.dead", GState::kDead),
    CONSTANT("life.dead", kDead),
    CONSTANT("life.gone", kDetached | kReaped),

    CONSTANT("Waiter", sizeof(Waiter)),
    FIELD(Waiter, key),
    FIELD(Waiter, g),
    FIELD(Waiter, state),
    FIELD(Waiter, kind),
    FIELD(Waiter, since),
    FIELD(Waiter, timer.when),
    FIELD(Waiter, timer.heap),
    CONSTANT("waiter.queued", WaitState::kQueued),
    CONSTANT("wait.other", WaitKind::kOther),
    CONSTANT("wait.mutex", WaitKind::kMutex),
    CONSTANT("wait.cond", WaitKind::kCond),
    CONSTANT("wait.read", WaitKind::kRead),
    CONSTANT("wait.write", WaitKind::kWrite),
    CONSTANT("wait.sem", WaitKind::kSem),
    CONSTANT("wait.barrier", WaitKind::kBarrier),
    CONSTANT("wait.once", WaitKind::kOnce),
    CONSTANT("wait.join", WaitKind::kJoin),
    CONSTANT("wait.sleep", WaitKind::kSleep),
    CONSTANT("wait.futex", WaitKind::kFutex),
    CONSTANT("wait.descriptor", WaitKind::kDescriptor),

    VARIABLE("arenas", arenas),
    CONSTANT("Arena", sizeof(Arena)),
    FIELD(Arena, next),
    FIELD(Arena, base),
    FIELD(Arena, end),
    FIELD(Arena, cls),
    CONSTANT("StackClass", sizeof(StackClass)),
    FIELD(StackClass, stride),
    FIELD(StackClass, tcb_down),
    FIELD(StackClass, tcb_align),
    FIELD(StackClass, g_down),
    FIELD(StackClass, cursor),
    FIELD(StackClass, arena_end),
    CONSTANT("slot.colours", kColours),
    CONSTANT("slot.colour_step", kColourStep),
    CONSTANT("slot.g_align", kGAlign),
    VARIABLE("adopted", adopted_all),
    CONSTANT("Adopted", sizeof(Adopted)),
    FIELD(Adopted, g),
    FIELD(Adopted, life),
    CONSTANT("Adopted.ended", kAdoptedEnded),
    FIELD(Adopted, all_next),

    VARIABLE("switch", switch_kind),
    CONSTANT("switch.ucontext", SwitchKind::kUcontext),
    CONSTANT("SavedFrame", sizeof(SavedFrame)),
    FIELD(SavedFrame, r15),
    FIELD(SavedFrame, r14),
    FIELD(SavedFrame, r13),
    FIELD(SavedFrame, r12),
    FIELD(SavedFrame, rbx),
    FIELD(SavedFrame, rbp),
    FIELD(SavedFrame, return_address),
    CONSTANT("ucontext", sizeof(ucontext_t)),
    {"ucontext.r15", sizeof(greg_t), reg(REG_R15)},
    {"ucontext.r14", sizeof(greg_t), reg(REG_R14)},
    {"ucontext.r13", sizeof(greg_t), reg(REG_R13)},
    {"ucontext.r12", sizeof(greg_t), reg(REG_R12)},
    {"ucontext.rbx", sizeof(greg_t), reg(REG_RBX)},
    {"ucontext.rbp", sizeof(greg_t), reg(REG_RBP)},
    {"ucontext.rsp", sizeof(greg_t), reg(REG_RSP)},
    {"ucontext.rip", sizeof(greg_t), reg(REG_RIP)},

    VARIABLE("stand_in_signal", stand_in_signal),
    VARIABLE("signal_actions", signal_actions[0]),
    FIELD(SignalAction, handler),
    CONSTANT("dump.request", kDumpRequest),
};
// NOLINTEND(bugprone-sizeof-expression)

}  // namespace

constinit const Layout mn_layout = {{'m', 'n', 'l', 'a', 'y', 'o', 'u', 't'},
                                    kLayoutVersion,
                                    sizeof(LayoutEntry),
                                    sizeof kEntries / sizeof kEntries[0],
                                    kEntries};

}  // namespace mn
