// SPDX-License-Identifier: Apache-2.0
// The observer is a kernel thread without a P that prints schedtrace lines and dumps, writes the trace, and looks for
// deadlocks. It exists from the start of the scheduler where an option asks for something regular, else from the first
// dump on. It is not sysmon because printing may block (a pipe that is full), and libunwind takes malloc's locks when
// it is opened; sysmon must not wait for either. It is a thread that libc made, for the same reason, and the creator
// makes it: a G must not be switched out in pthread_create, and a signal handler could not call it.
//
// What is asked for is a bit in g_wanted, set by anybody, in any context, who then wakes the observer, or has it made.
//
// A dump by signal, in order:
//   1. the handler sets kDump and, when the process is to die afterwards (MN_DUMP_SIGNAL was not given), arms a kernel
//      timer that sends the same signal again and again. One that finds no new line printed kills: whatever the
//      observer may hang in, the process dies as it would have without libmn, only later. A second signal of the user's
//      kills at once.
//   2. the thread that was interrupted sleeps in the handler, if it was outside libmn: raise() must not return. Inside
//      it may hold locks and goes on. While it sleeps the signal is open again, for it may be asked where it is.
//   3. the observer prints, and then dies of the signal. A thread that calls exit() meanwhile waits for that, for the
//      signal came first.
//
// A tool (mn stacks) asks for a dump with the same signal. It opens a pipe and sends the signal by
// rt_tgsigqueueinfo(2), with the siginfo_t of sigqueue(): as si_pid a process that holds the pipe, and as si_value
// kDumpRequest above the number of its descriptor there (layout.h). The handler notes the two, and the observer opens
// /proc/PID/fd/NUMBER and writes the dump there. The program goes on, whatever the signal means otherwise: such a
// request neither kills nor prints. It must not reach a process that does not know it, which it might kill. So the tool
// looks first whether the handler below is in place (stand_in_signal, signal_actions and the kernel's SigCgt, by way of
// layout.cc) and sends the signal to sysmon's kernel thread: that is gone once the process has executed another
// program, and no thread of the program's is interrupted in a system call. The kernel lets a tool write a siginfo_t
// only to a process that it may kill, and the observer open the pipe only of one that it may inspect: the holder is of
// the program's user, and has nothing else (mnlib/holder.py). A tool that is gone, or that stops reading, costs a few
// seconds of the observer's time.
//
// Who asks for dumps without end gets one after the other, with kPause between them, and handlers do not nest.
//
// A process without the scheduler, or a child of fork or vfork, has nobody to print, and dies at once.
#include "runtime/observe/observer.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "runtime/base/options.h"
#include "runtime/observe/ask.h"
#include "runtime/observe/deadlock.h"
#include "runtime/observe/dump.h"
#include "runtime/observe/layout.h"
#include "runtime/observe/output.h"
#include "runtime/observe/schedtrace.h"
#include "runtime/observe/stats.h"
#include "runtime/observe/trace_file.h"
#include "runtime/observe/walker.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/standin.h"

namespace mn {
namespace {

enum Wanted : uint32_t { kDump = 1, kFatalDump = 2, kEndOfTrace = 4, kRequestedDump = 8 };
constexpr uint32_t kDumps = kDump | kRequestedDump;  // those that anybody may ask for

constexpr size_t kStack = 256 * 1024;
constexpr int64_t kDumpPatience = 10 * kNsPerSec;  // for the whole of a dump before a fatal error ends the process

constexpr int64_t kPause = kNsPerSec / 10;

constinit std::atomic<uint32_t> g_wanted{0};
constinit std::atomic<bool> g_alive{false};  // made, or being made
constinit std::atomic<int> g_pid{0};         // of the process whose helpers exist
constinit Note g_note;
constinit Note g_dumped;
constinit Note g_traced;
constinit G g_g;
constinit M g_m;
constinit std::atomic<bool> g_dying{false};
constinit std::atomic<int> g_interrupted{0};  // the kernel thread that stays in the handler
constinit std::atomic<uint64_t> g_lines{0};   // printed when the timer last came
constinit int g_sig = 0;

// Tools that want a dump: process above descriptor; 0: free.
constinit std::atomic<uint64_t> g_requests[8];

bool periodic() {
  return options.schedtrace != 0 || options.deadlock != 0 || options.trace != nullptr;
}

bool dies_after_dump() {
  return options.dump_signal == kDumpSignalDefault;
}

void dump_as_requested() {
  for (auto& request : g_requests) {
    uint64_t from = request.exchange(0, std::memory_order_relaxed);
    if (from == 0) continue;
    Text path;
    path << "/proc/" << (from >> 32) << "/fd/" << (from & UINT32_MAX);
    if (!output_to_pipe(path.c_str())) continue;
    dump_threads({"request", false});
    output_to_stderr();
  }
}

// Dumps that are asked for too soon stay wanted: until when (kForever: there are none).
int64_t do_as_wanted() {
  static constinit int64_t pause_ends = 0;
  uint32_t wanted = g_wanted.exchange(0, std::memory_order_acquire);  // Acquire: pairs with want().
  const uint32_t later = now_ns() < pause_ends ? wanted & kDumps : 0;
  if (later != 0) g_wanted.fetch_or(later, std::memory_order_relaxed);
  wanted &= ~later;
  if ((wanted & kDump) != 0) {
    Text why;
    why << "signal " << g_sig;
    dump_threads({why.c_str(), dies_after_dump(), g_interrupted.load(std::memory_order_relaxed)});
    if (dies_after_dump()) end_by_signal(g_sig);
  }
  if ((wanted & kFatalDump) != 0) {
    dump_threads({"fatal error", true});
    g_dumped.signal();
  }
  if ((wanted & kEndOfTrace) != 0) {
    trace_close();
    g_traced.signal();
  }
  if ((wanted & kRequestedDump) != 0) dump_as_requested();
  if ((wanted & kDumps) != 0) pause_ends = now_ns() + kPause;
  return later != 0 ? pause_ends : kForever;
}

void* observer_main(void*) {
  output_only();
  be_system_thread(&g_g, &g_m);
  trace_open();
  for (;;) {
    int64_t next = do_as_wanted();
    if (int64_t print = schedtrace_tick(now_ns()); print < next) next = print;
    if (int64_t look = deadlock_tick(now_ns()); look < next) next = look;
    if (int64_t read = trace_tick(now_ns()); read < next) next = read;
    g_note.sleep(next == kForever ? -1 : next);
    g_note.clear();
  }
}

// On the creator.
void make_observer() {
  if (g_alive.exchange(true, std::memory_order_relaxed)) return;
  sched.stays = true;
  pthread_attr_t attr;
  pthread_t thread;
  real.pthread_attr_init(&attr);
  real.pthread_attr_setstacksize(&attr, kStack + tcb_reserve());
  real.pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  if (real.pthread_create(&thread, &attr, observer_main, nullptr) != 0) g_alive.store(false, std::memory_order_relaxed);
  real.pthread_attr_destroy(&attr);
}

void want(uint32_t what) {
  g_wanted.fetch_or(what, std::memory_order_release);  // pairs with observer_main
  request_errand(make_observer);
  g_note.signal();
}

bool can_dump() {
  return sched.started.load(std::memory_order_relaxed) && g_pid.load(std::memory_order_relaxed) == sys_getpid();
}

// See above, 1.
void watch_dump(int sig) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = sig;
  int timer = 0;
  itimerspec time{ns_timespec(kDumpPatience), ns_timespec(kDumpPatience)};
  if (raw_syscall(SYS_timer_create, CLOCK_MONOTONIC, sys_arg(&event), sys_arg(&timer)) == 0)
    raw_syscall(SYS_timer_settime, timer, 0, sys_arg(&time), 0);
}

bool note_request(const siginfo_t* info) {
  auto value = reinterpret_cast<uint64_t>(info->si_value.sival_ptr);
  if (info->si_code != SI_QUEUE || (value & ~uint64_t{UINT32_MAX}) != kDumpRequest) return false;
  if (info->si_pid <= 0 || !can_dump()) return true;
  uint64_t from = static_cast<uint64_t>(info->si_pid) << 32 | (value & UINT32_MAX);
  for (auto& request : g_requests)
    if (request.load(std::memory_order_relaxed) == from) return true;  // sent again: signals do not queue
  for (auto& request : g_requests) {
    uint64_t none = 0;
    if (!request.compare_exchange_strong(none, from, std::memory_order_relaxed)) continue;
    want(kRequestedDump);
    break;
  }
  return true;
}

void on_dump_signal(int sig, siginfo_t* info, void* context) {
  if (answer(info, context) || note_request(info)) return;
  if (!can_dump()) {
    if (dies_after_dump()) end_by_signal(sig);
    constexpr char kNothing[] = "libmn: dump: this process has made no threads\n";
    return write_stderr(kNothing, sizeof kNothing - 1);
  }
  if (!dies_after_dump()) return want(kDump);
  if (g_dying.exchange(true, std::memory_order_relaxed)) {
    bool got_along = g_lines.exchange(output_lines(), std::memory_order_relaxed) != output_lines();
    if (info->si_code == SI_TIMER && got_along) return;
    end_by_signal(sig);
  }
  watch_dump(sig);
  G* g = this_g();
  bool stay = g == nullptr || g->locks == 0;
  if (stay) g_interrupted.store(sys_gettid(), std::memory_order_relaxed);
  want(kDump);
  if (!stay) return;
  sys_open_signal(sig);
  Note never;
  for (;;) never.sleep();
}

// Hook of the helpers' start; in a forked child the observer, too, is gone.
void start() {
  g_alive.store(false, std::memory_order_relaxed);
  g_wanted.store(0, std::memory_order_relaxed);
  for (auto& request : g_requests) request.store(0, std::memory_order_relaxed);
  g_note.clear();
  g_pid.store(sched.pid, std::memory_order_relaxed);
  if (options.trace != nullptr) trace_start();
  if (periodic()) request_errand(make_observer);
  if (dies_after_dump() && may_use(kOutput)) stand_in(g_sig, on_dump_signal);
}

// What threads do from here on is not in it.
void end_trace() {
  static constinit std::atomic<bool> ended{false};
  if (options.trace == nullptr || !can_dump() || ended.exchange(true, std::memory_order_relaxed)) return;
  want(kEndOfTrace);
  g_traced.sleep(now_ns() + kDumpPatience);
}

void dump_before_abort() {
  if (!can_dump() || this_g() == &g_g || is_creator()) return;
  want(kFatalDump);
  g_dumped.sleep(now_ns() + kDumpPatience);
}

}  // namespace

void observe_init() {
  bool asked = !dies_after_dump() && options.dump_signal != 0;
  if (options.stats != 0 || periodic() || asked) output_keep();
  helpers_started = start;
  fatal_hook = dump_before_abort;
  g_sig = dies_after_dump() ? SIGQUIT : static_cast<int>(options.dump_signal);
  if (g_sig == 0) return;
  ask_by(g_sig);
  // Without threads there is nothing to print that would be worth a handler.
  if (asked) stand_in(g_sig, on_dump_signal);
}

void observe_at_exit() {
  Note never;
  while (g_dying.load(std::memory_order_relaxed) && can_dump()) never.sleep();
  stats_at_exit();
  end_trace();
}

void observe_prepare() {
  walker_prepare();
  bool asked = !dies_after_dump() && options.dump_signal != 0;
  if (asked || options.deadlock != 0) walker_open();
}

}  // namespace mn
