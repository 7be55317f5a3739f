// SPDX-License-Identifier: Apache-2.0
// All threads are asleep for good when nobody is left who could wake one:
//
//   - every thread of the program waits without a deadline, for something that only a thread of this process can give
//     (kEndless below): so none sleeps, waits for a descriptor, or is in a system call
//   - all Ps are idle, and none has a timer
//   - every kernel thread is one of libmn's, or one that waits as above: a foreign one that libmn has never met, such
//   as
//     libc's for timers, may do anything
//   - the program catches no signals except those of faults: a handler could post a semaphore
//
// These are looked at one after the other, and a thread that is seen asleep may be awake when the next is looked at. So
// the whole is done twice, with a pause, and holds only if nobody ran from the first look to the last: no P has moved
// (their ticks), and no thread that has no P has begun a new wait (Sched::wired_parks). A thread seen asleep in the
// second round has been so since before the first one ended: in the pause all were asleep at once, and nothing but
// themselves could have ended it.
//
// This may miss a deadlock; it must not see one where there is none.
#include "runtime/observe/deadlock.h"

#include <fcntl.h>
#include <signal.h>

#include <initializer_list>

#include "runtime/base/options.h"
#include "runtime/observe/dump.h"
#include "runtime/observe/output.h"
#include "runtime/os/memory.h"
#include "runtime/sched/gpool.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/standin.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

constexpr int64_t kPeriod = 100 * 1000 * 1000;
constexpr int kExitStatus = 2;  // as Go
constexpr int kHelpers = 3;     // creator, sysmon, observer
constexpr size_t kMostAdopted = 64;

constexpr bool endless(const WaitRecord& wait) {
  switch (wait.kind) {
    case WaitKind::kMutex:
    case WaitKind::kCond:
    case WaitKind::kRead:
    case WaitKind::kWrite:
    case WaitKind::kSem:
    case WaitKind::kBarrier:
    case WaitKind::kOnce:
    case WaitKind::kJoin:
    case WaitKind::kFutex:
      return wait.until == 0;
    case WaitKind::kOther:
    case WaitKind::kSleep:
    case WaitKind::kDescriptor:
      return false;
  }
  return false;
}

bool asleep_for_good(const G* g) {
  WaitRecord wait;
  return look_at_wait(g, &wait, nullptr, nullptr) && endless(wait);
}

struct Look {
  bool awake = false;  // somebody
  unsigned threads = 0;
};

void look_at(G* g, void* arg) {
  auto* look = static_cast<Look*>(arg);
  if (look->awake || g->system || g->state == GState::kFree || ended(g)) return;
  ++look->threads;
  look->awake = !asleep_for_good(g);
}

// "Name:\t" in /proc/self/status; null: not there.
const char* field(const char* text, const char* name) {
  for (const char* line = text; *line != '\0'; ++line) {
    const char *p = line, *n = name;
    while (*n != '\0' && *p == *n) ++p, ++n;
    if (*n == '\0') return p;
    while (*line != '\n' && *line != '\0') ++line;
    if (*line == '\0') return nullptr;
  }
  return nullptr;
}

struct Process {
  uint64_t threads = 0;
  uint64_t caught = 0;  // signals, by bit
};

bool read_process(Process* out) {
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg("/proc/self/status"), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[4096];
  long n = raw_syscall(SYS_read, fd, sys_arg(text), sizeof text - 1);
  raw_syscall(SYS_close, fd);
  text[n > 0 ? n : 0] = '\0';
  const char* threads = field(text, "Threads:\t");
  const char* caught = field(text, "SigCgt:\t");
  if (threads == nullptr || caught == nullptr) return false;
  for (; *threads >= '0' && *threads <= '9'; ++threads)
    out->threads = out->threads * 10 + static_cast<uint64_t>(*threads - '0');
  for (; *caught != '\n' && *caught != '\0'; ++caught)
    out->caught = out->caught * 16 + static_cast<uint64_t>(*caught <= '9' ? *caught - '0' : *caught - 'a' + 10);
  return true;
}

// Whether the program's handlers may run.
bool signals_may_come(uint64_t caught) {
  auto bit = [](int sig) { return uint64_t{1} << (sig - 1); };
  caught &= ~kUnmaskable;  // libc's, and preemption's
  for (int sig : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) caught &= ~bit(sig);
  for (int sig = 1; sig <= 64; ++sig)
    if ((caught & bit(sig)) != 0 && stands_in(sig)) caught &= ~bit(sig);
  return caught != 0;
}

bool main_has_a_kernel_thread_of_its_own() {
  const G* g = sched.main_g;
  return g != nullptr && g->wired && g->slot == nullptr;
}

bool all_asleep_for_good() {
  for (int i = 0; i < sched.nprocs; ++i)
    if (sched.ps[i]->timers.next() != kForever) return false;
  if (sched.n_idle_ps.load(std::memory_order_relaxed) != sched.nprocs ||
      sched.n_spinning.load(std::memory_order_relaxed) != 0 || sched.global_size.load(std::memory_order_relaxed) != 0)
    return false;
  Look look;
  if (sched.main_g != nullptr && sched.main_g->slot == nullptr) look_at(sched.main_g, &look);
  gpool_for_each(look_at, &look);
  G* adopted[kMostAdopted];
  size_t n_adopted = adopted_threads(adopted, kMostAdopted);
  if (n_adopted > kMostAdopted) return false;
  size_t kernel_threads = kHelpers + (main_has_a_kernel_thread_of_its_own() ? 1 : 0);
  for (size_t i = 0; i < n_adopted; ++i) {
    if (adopted[i] == sched.main_g) continue;
    ++kernel_threads;
    look_at(adopted[i], &look);
  }
  if (look.awake || look.threads == 0) return false;
  sched.lock.lock();
  kernel_threads += static_cast<size_t>(sched.n_ms);
  sched.lock.unlock();
  Process process;
  return read_process(&process) && process.threads == kernel_threads && !signals_may_come(process.caught);
}

// Changes whenever a thread runs that can wake another.
uint64_t movement() {
  uint64_t sum = sched.wired_parks.load(std::memory_order_relaxed);
  for (int i = 0; i < sched.nprocs; ++i) sum += sched.ps[i]->tick.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace

int64_t deadlock_tick(int64_t now) {
  static constinit bool asleep_before = false;
  static constinit uint64_t movement_before = 0;
  static constinit int64_t due = 0;
  if (options.deadlock == 0) return kForever;
  if (now < due) return due;
  due = now + kPeriod;
  // Acquire: pairs with sched_start; before it is through there are no Ps.
  if (!sched.started.load(std::memory_order_acquire)) return due;
  uint64_t moved = movement();
  bool asleep = all_asleep_for_good();
  // Seq_cst: what was looked at was so before the movement is read again; pairs with the first reading, a period ago.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (asleep && asleep_before && moved == movement_before && moved == movement()) {
    Text line;
    output(line << "libmn: fatal: all threads are asleep - deadlock!\n");
    dump_threads({"deadlock", true});
    raw_syscall(SYS_exit_group, kExitStatus);
  }
  asleep_before = asleep;
  movement_before = moved;
  return due;
}

}  // namespace mn
