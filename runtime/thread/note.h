// SPDX-License-Identifier: Apache-2.0
// Notes: signals that came for a G, or for the process, and have not been taken. A note is a record from a fixed pool,
// taken and freed without locks, so that handlers may write them anywhere. When the pool is full, the sender gets
// EAGAIN, as natively for a real-time signal beyond RLIMIT_SIGPENDING; a signal that comes from the kernel is lost.
//
// G::sigpend has a bit for each signal that is noted for the G. It is set after the record is written and cleared
// before records are looked for: what is noted in between is found at the next look.
#pragma once

#include <signal.h>

#include <cstdint>

#include "runtime/sched/g.h"

namespace mn {

constexpr int kSignals = 65;
constexpr int kFirstQueued = 32;  // real-time signals queue, others are pending once

inline uint64_t bit(int sig) {
  return uint64_t{1} << (sig - 1);
}

// Stands for "whoever can take it".
extern G process_notes;
constexpr G* kProcess = &process_notes;

// To whom it was sent: a signal for the process that g does not take is for another G.
enum class Sent : uint8_t { kToThread, kToProcess };
// False: the pool is full.
bool note_signal(G* g, int sig, const siginfo_t* info, Sent sent);
// False: there is none.
bool take_note(G* g, int sig, siginfo_t* info, Sent* sent = nullptr);
bool has_note(G* g, int sig);
// g does not take it: signals that were sent to the process are noted for the process again; true if there were any. A
// caller other than g then has g look at its notes (signal_alert): those that stay were out of sight for a moment.
bool return_notes(G* g, int sig);
// The same of a g that has ended: what was sent to it alone is lost with it.
bool forget_notes(G* g, int sig);
void forget_all_notes();

}  // namespace mn
