// SPDX-License-Identifier: Apache-2.0
// What the kernel keeps per kernel thread for signals, and each G has its own: the mask and the alternate stack.
//
// The kernel puts a signal's frame at the top of the alternate stack, unless the stack pointer is on that stack. So an
// M never has the alternate stack of a G that it does not run: that G may be in a handler there, or get a signal there
// on another M, and the frame would be written over its frames. The M takes the next G's, or none for g0, before the G
// that it runs can go on elsewhere (commit).
//
// A G may park in a handler on its alternate stack. Then two things are in the way. The kernel refuses another stack
// (EPERM) while the stack pointer is on the present one: so it is elsewhere for the length of the call. And a signal
// must not come while the M has the G's alternate stack and the stack pointer is not there yet, or no more: so all are
// blocked from before the change. A G that parked so opens them itself, when it goes on.
//
// With SS_AUTODISARM the kernel has taken the stack away for as long as the handler runs, and gives it back when the
// handler returns. It stays away where the G goes on.
//
// Rejected: g0 between the two, which has to be told of the next G, with the same changes; the previous G's stack left
// to the M until another G needs its own (a process's signal came on g0 meanwhile, once in a thousand runs).
#include "runtime/os/confined.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// Those of libmn's own, too.
void block_all(M* m) {
  m->kmask = kIdleMask;
  const uint64_t all = ~uint64_t{0};
  if (MN_UNLIKELY(refused(raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, sys_arg(&all), 0, 8))))
    fatal("rt_sigprocmask is refused: signals would reach other threads", "sched/signal_state.cc");
}

void give_mask(M* m, G* g) {
  if (MN_UNLIKELY((m->may_hold & ~g->sigmask) != 0)) drop_raised_signals(m->may_hold & ~g->sigmask);
  m->may_hold = g->sigmask & kRaised;
  set_kernel_mask(m, g->sigmask);
  // What the kernel held came at once, to whoever is switched from. g's handler runs before g goes on, as it would.
  uint64_t due = process_signals.load(std::memory_order_relaxed) | held_signals.load(std::memory_order_relaxed);
  if (MN_UNLIKELY((due & ~g->sigmask) != 0)) take_process_signals(g);
}

// `stack` is m's from now on. `leaving`: the stack pointer is on the one before.
void give_stack(M* m, const AltStack& stack, bool disarmed, bool leaving) {
  if ((m->altstack == stack && !disarmed) || !may_use(kStacks)) return;
  m->altstack = stack;
  stack_t wanted{stack.sp, stack.flags, stack.size};
  if (stack.sp == nullptr || disarmed) wanted = {nullptr, SS_DISABLE, 0};
  // With all signals blocked nothing is written below the stack pointer.
  if (leaving)
    syscall_off_stack(m, SYS_sigaltstack, sys_arg(&wanted));
  else
    raw_syscall(SYS_sigaltstack, sys_arg(&wanted), 0);
}

}  // namespace

bool change_signal_state(M* m, G* g, G* next) {
  const bool leaves = g->altstack.holds(__builtin_frame_address(0)), returns = next->on_alternate;
  if (MN_UNLIKELY(leaves || returns)) block_all(m);
  give_stack(m, next->altstack, returns && (next->altstack.flags & kAutodisarm) != 0, leaves);
  if (MN_UNLIKELY(returns)) return leaves;
  if (!next->system) {
    if (next->sigmask != m->kmask) give_mask(m, next);
  } else if (MN_UNLIKELY(leaves)) {
    set_kernel_mask(m, kIdleMask);  // libmn's own are open
  }
  return leaves;
}

void switch_off_alternate(G* g, G* next) {
  g->on_alternate = true;
  context_switch(&g->ctx, &next->ctx, next->tp);
  finish_switch();
  g->on_alternate = false;
  give_mask(g->m.load(std::memory_order_relaxed), g);
}

}  // namespace mn
