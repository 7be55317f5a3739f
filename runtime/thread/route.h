// SPDX-License-Identifier: Apache-2.0
// Signals for the process: who takes them from the kernel, and which G gets them.
//
// The kernel gives them to a kernel thread that does not block them: to an M whose G does not, or to sysmon. sysmon
// blocks what main blocks, except signals that have a handler and that another G may take: a parked G has no kernel
// thread. It notes them, and route() looks for a G, whatever that does, which then runs the handler, or ends its wait
// for it. The thread may block it, or end, before it does so. Either route() sees the new mask after it has noted the
// signal, or the thread, which looks after its mask has changed, sees the note; the one that sees it gives it to the
// next.
//
// Which signals another G may take is not counted: threads that begin, masks that change would all have to. It is known
// of a signal when the first thread begins, or a mask is changed, that does not block it (signals_closed), and it is
// believed until a search finds nobody. Then the signal goes back to the kernel, sysmon blocks it, and it waits there
// as it would natively, for sigwait, a descriptor, or a thread that unblocks it, which is seen again.
//
// What the program sends to itself, and nobody takes at the moment, is noted for the process from the beginning, if
// sysmon would take it: it is pending when kill() returns, and a thread that unblocks it finds it there. sysmon gives
// it to the kernel later; a thread that looks for it meanwhile waits for that (wait_for_move). Signals of one number
// keep their order (POSIX, for real-time signals): while one is noted for the process the next is noted behind it, and
// what the kernel has is taken before what is noted. Rejected: kill() closing the signal itself, and waiting until
// sysmon blocks it, 10 ms and more on a crowded machine; that is waited for only where all notes are taken
// (note_for_process).
//
// sysmon pulls the mask that it is to have (what_sysmon_blocks): if threads pushed it, a stale value could overwrite a
// newer one. Main, when it blocks a signal, waits until sysmon does.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>

#include "runtime/base/check.h"
#include "runtime/sched/g.h"

namespace mn {

// Those that no G but main is believed to take.
extern std::atomic<uint64_t> signals_closed;
void signals_opened_slow(uint64_t mask);

// A G other than main has this mask from now on. True: it opens what nobody took.
MN_INLINE bool signals_opened(uint64_t mask) {
  if (MN_LIKELY((signals_closed.load(std::memory_order_relaxed) & ~mask) == 0)) return false;
  signals_opened_slow(mask);
  return true;
}

// The program installs a handler, or takes it away.
void signal_caught(int sig, bool caught);
// main has this mask from now on. Does not return before sysmon blocks what it is to block.
void signals_main_mask(uint64_t mask);

// Whether a G takes it now. Inside.
bool signal_has_taker(int sig);
// It is sent to the process by the program itself. 0: a G takes it, or sysmon would, and it is noted for the process;
// to be routed. -1: the kernel is to have it. EAGAIN: too many are pending. Inside.
int note_for_process(int sig, const siginfo_t* info);
// Takes the lowest signal of set that is noted for the process, or what the kernel has of that, or of lower ones, for
// it is older. 0: none is noted. With all signals blocked.
int take_process_signal(uint64_t set, siginfo_t* info);
// Returns when what was on the way to the kernel or to a G is there. True: something may have been.
bool wait_for_move();
// What is noted for g or for the process. What the kernel has is looked at afterwards. Inside, or with all
// signals blocked.
uint64_t pending_signals(const G* g);
// Assigns each unclaimed signal of the process to a G that accepts it. On g0, between Gs, by sysmon and by senders.
// Inside.
void route_signals();
// What has come for the process and g, the caller or about to run, does not block becomes g's.
void take_held_signals(G* g);
// The same, and what is on its way has arrived. g is the caller.
void take_from_process(G* g);
// A handler of g, the caller, has ended: its mask is the one before, and the kernel's as soon as the handler's frame
// returns. What waits there is noted for g, or sysmon could be faster: g might end before it hears of that.
void signals_reopened(G* g);
// g, the caller, has changed its mask: a signal for the process that was given to g, which now blocks it, is for
// another G.
void give_up_signals(G* g);
// g, which the caller has made, has its mask and does not run yet: what was noted after its slot's last thread had
// ended is none of its. Outside.
void signals_begin(G* g);
// The same of g that ends, whose mask is of no matter from now on. What was sent to it alone is lost with it. Inside.
void signals_end(G* g);

// What is noted for the process the kernel gets. By a thread that ends what takes notes.
void noted_to_kernel();
// The scheduler has stopped: what was noted for the process the kernel keeps. The caller is the only thread.
void signals_to_kernel();

void routes_init();
void routes_reset();

}  // namespace mn
