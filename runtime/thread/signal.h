// SPDX-License-Identifier: Apache-2.0
// Signals of Gs (signal.cc has the rules). errno values.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdint>

namespace mn {

// What the program has for a signal, by number.
struct SignalAction {
  std::atomic<void*> handler{nullptr};  // sa_sigaction; null: the kernel has the program's own disposition
  std::atomic<uint64_t> mask{0};
  std::atomic<int> flags{0};
};
extern SignalAction signal_actions[];

int signal_mask(int how, const sigset_t* set, sigset_t* old);
int signal_action(int sig, const struct sigaction* action, struct sigaction* old);
// The program has a handler for it.
bool signal_is_caught(int sig);
// `value` null: as pthread_kill; otherwise as pthread_sigqueue.
int signal_thread(pthread_t t, int sig, const sigval* value);
// As kill(getpid()), with a value as sigqueue(getpid()): 0, EAGAIN, or -1: the kernel is to be asked. When it returns a
// thread that takes the signal has it, as natively: that thread may be about to end.
int signal_process(pid_t pid, int sig, const sigval* value);

// siginfo_t::si_code that tells a poke (signal_poke) from a signal. Observers mark their questions with it, too.
constexpr int kPokeCode = -0x6d6e;
// Once for each: on the thread that got it.
bool is_poke(const siginfo_t* info);
// What comes of a signal that the program has a handler for, or whose handler is ours.
void on_signal(int sig, siginfo_t* info, void* context);

// --- for waits (sigwait.cc)
struct G;
struct M;
// Sends the M's thread a signal that only says "look at your notes".
void signal_poke(M* m, int sig);
// Makes g, which has a note, look at it. Inside.
void signal_alert(G* g, int sig);
// Takes one of the set that the kernel has for the process or for this kernel thread; 0: none.
int signal_take_pending(uint64_t set, siginfo_t* info);
// Takes one of the set that is noted for g, the caller; 0: none.
int signal_take(G* g, uint64_t set, siginfo_t* info);
// Runs what is noted for g (the caller) and not in the mask.
void signal_run_unblocked(G* g, uint64_t mask);
// Whether g is in a wait that sig ends; and, in the second, ends it.
bool signal_waited_for(G* g, int sig);
bool signal_waiter_poke(G* g, int sig);
// A handler is about to run on g: a wait for signals that it is in is over, and the handler may jump out of it.
void signal_wait_left(G* g);

// As the functions of POSIX. The first two return the signal's number or -errno; a null timeout waits for ever.
int signal_wait(const sigset_t* set, siginfo_t* info, const timespec* timeout);
int signal_suspend(const sigset_t* mask);
// Makes a system call that has `mask` for the time of its wait, as the kernel's ppoll: -EINTR when a handler ran. The
// call is handed the mask that it is to pass on.
long signal_masked_call(const sigset_t* mask, long (*call)(const uint64_t* mask, void* arg), void* arg);
int signal_pending_set(sigset_t* set);
int signal_stack(const stack_t* stack, stack_t* old);
int signal_raise(int sig);

void signals_init();
void signals_reset_after_fork();
void signal_waits_reset_after_fork();

}  // namespace mn
