// SPDX-License-Identifier: Apache-2.0
// How each thread's stack is had while the program runs:
//
//   it waits       its bucket's lock is held while its registers and the inner 32 KiB of its stack are copied: it
//   cannot
//                  be woken meanwhile, so the copy is whole
//   it is runnable copied without a lock; when it ran in between, which shows, it is said to run
//   it runs        its kernel thread is asked, and copies for us (ask.h)
//   it sleeps in   the kernel tells stack pointer and program counter; the other registers, which code with frame
//   a system call  pointers needs, it does not. Asking makes them known but ends some system calls with EINTR: this is
//                  done when the program ends anyway
//
// The copy is walked and printed when all locks are given back. Nothing is ever read without a check (safe_read.h), so
// that a thread that runs away, or a broken stack, costs a few lines and not the process.
//
// Rejected: stopping all threads for the time of the dump (every Ms would have to answer before the first line is
// printed, and one that does not is just what one wants to see); walking stacks in place.
#include "runtime/observe/dump.h"

#include "runtime/observe/ask.h"
#include "runtime/observe/describe.h"
#include "runtime/observe/output.h"
#include "runtime/observe/safe_read.h"
#include "runtime/observe/walker.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr size_t kMostAdopted = 4096;
constexpr size_t kLeastFrame = 64;  // bytes of a saved context

// Not from the kernel: it may be the want of memory that ends the program.
constinit StackCopy g_copy;
constinit Modules g_modules;
constinit G* g_adopted[kMostAdopted];

class Dumper {
 public:
  explicit Dumper(const DumpRequest& request)
      : may_interrupt_(request.may_interrupt), interrupted_(request.interrupted) {
    modules_->map();
    walker_forget();
  }
  ~Dumper() { modules_->unmap(); }
  Dumper(const Dumper&) = delete;
  Dumper& operator=(const Dumper&) = delete;

  void show(G* g) {
    if (g->system || g->state == GState::kFree || output_lost()) return;
    uint32_t life = g->life.load(std::memory_order_relaxed);
    if ((life & kDead) != 0) {
      if ((life & (kDetached | kReaped)) == 0) headline(g, "ended, not joined");
      return;
    }
    WaitRecord wait;
    if (look_at_wait(g, &wait, g->wired ? nullptr : copy_parked, copy_))
      show_waiting(g, wait);
    else if (g->state == GState::kRunning || g->wired)
      show_running(g);
    else
      show_parked(g);
  }

 private:
  static void copy_parked(const G* g, void* copy) { static_cast<StackCopy*>(copy)->take(context_registers(g->ctx)); }

  static void headline(const G* g, const char* state) {
    Text line;
    describe_thread(g, &line);
    line << " (" << g->tp << ") [" << state << "]:\n";
    output(line);
  }

  void show_waiting(G* g, const WaitRecord& wait) {
    Text state;
    state << "waiting for ";
    describe_wait(wait, &state);
    state << ", ";
    int64_t now = now_ns();
    describe_time(now - wait.since, &state);
    if (wait.until != 0 && wait.until != kForever) {
      state << ", at most ";
      describe_time(wait.until - now, &state);
      state << " more";
    }
    if (g->wired && !copy_wired(g)) state << "; its stack cannot be had";
    headline(g, state.c_str());
    print_stack(*copy_, modules_);
  }

  // It sleeps in the kernel, in libmn's own code.
  bool copy_wired(const G* g) {
    int ktid = g->m.load(std::memory_order_relaxed)->ktid.load(std::memory_order_relaxed);
    G* who = nullptr;
    if (may_interrupt_ && ask(ktid, copy_, &who) && who == g) return true;
    copy_->size = 0;
    copy_->registers = {};
    return copy_asleep(what_does(ktid));
  }

  bool copy_asleep(const Doing& doing) {
    if (!doing.asleep) return false;
    SavedRegisters r;
    r.rsp = doing.sp;
    r.rip = doing.pc;
    copy_->take(r);
    return true;
  }

  void show_running(G* g) {
    const M* m = g->m.load(std::memory_order_relaxed);
    if (m == nullptr) return;
    int ktid = m->ktid.load(std::memory_order_relaxed);
    Doing doing = what_does(ktid);
    G* who = g;
    bool have = !doing.asleep || may_interrupt_ ? ask(ktid, copy_, &who) : false;
    if (have && who != g) return headline(g, "running; it has just moved");
    if (!have) have = copy_asleep(doing);
    Text state;
    if (ktid == interrupted_) {
      state << "interrupted by the signal,";
    } else if (doing.asleep && doing.system_call >= 0) {
      state << "in system call ";
      describe_system_call(doing.system_call, &state);
      state << ',';
    } else {
      state << "running";
    }
    state << " on kernel thread " << ktid;
    if (g->wired) state << " of its own";
    if (!have) state << "; its stack cannot be had";
    headline(g, state.c_str());
    if (have) print_stack(*copy_, modules_);
  }

  // Runnable, or on its way into or out of a wait.
  void show_parked(G* g) {
    const void* sp = g->ctx.sp;
    GState state = g->state;
    if (sp == nullptr) return;
    char frame[kLeastFrame];
    if (!safe_read(reinterpret_cast<uint64_t>(sp), &frame)) return;  // of a thread that has just ended
    StackCopy& copy = *copy_;
    copy.take(context_registers(g->ctx));
    std::atomic_signal_fence(std::memory_order_seq_cst);  // what is read again must be read after; pairs with itself
    if (static_cast<const volatile Context&>(g->ctx).sp != sp || static_cast<volatile G*>(g)->state != state)
      return headline(g, "running; it has just been switched to");
    headline(g, state == GState::kRunnable ? "runnable" : "waiting");
    print_stack(copy, modules_);
  }

  bool may_interrupt_;
  int interrupted_;
  StackCopy* copy_ = &g_copy;
  Modules* modules_ = &g_modules;
};

}  // namespace

void dump_threads(const DumpRequest& request) {
  Text first;
  first << "libmn: dump of process " << sys_getpid() << ", " << sched.nprocs << " Ps, "
        << sched.nprocs - sched.n_idle_ps.load(std::memory_order_relaxed) << " of them busy: " << request.why << '\n';
  output(first);
  walker_open_in_time();
  if (const char* reason = walker_missing()) {
    Text line;
    output(line << "libmn: callers are guesses, marked with a question mark: " << reason << '\n');
  }
  Dumper dumper(request);
  if (sched.main_g != nullptr && sched.main_g->slot == nullptr) dumper.show(sched.main_g);
  gpool_for_each([](G* g, void* d) { static_cast<Dumper*>(d)->show(g); }, &dumper);
  size_t n = adopted_threads(g_adopted, kMostAdopted);
  for (size_t i = 0; i < n && i < kMostAdopted; ++i)
    if (g_adopted[i] != sched.main_g) dumper.show(g_adopted[i]);
  Text last;
  output(last << "libmn: end of dump\n");
}

}  // namespace mn
