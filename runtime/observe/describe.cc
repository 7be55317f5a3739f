// SPDX-License-Identifier: Apache-2.0
#include "runtime/observe/describe.h"

#include <pthread.h>
#include <sys/epoll.h>

#include "runtime/io/wait.h"
#include "runtime/observe/safe_read.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

void describe_join(const void* key, Text* out) {
  uint32_t tid;
  if (safe_read(reinterpret_cast<uint64_t>(key) - offsetof(G, life) + offsetof(G, tid), &tid))
    describe_tid(tid, out);
  else
    *out << "a thread";
  *out << " to end";
}

void describe_mutex(const void* key, Text* out) {
  __pthread_mutex_s m;
  *out << "mutex " << key;
  if (!safe_read(reinterpret_cast<uint64_t>(key), &m)) return;
  if (m.__owner == 0) {
    *out << ", free";
    return;
  }
  *out << " held by ";
  describe_tid(static_cast<uint32_t>(m.__owner), out);
}

void describe_rwlock(const void* lock, const char* what_for, Text* out) {
  __pthread_rwlock_arch_t l;
  *out << "reader-writer lock " << lock << what_for;
  if (!safe_read(reinterpret_cast<uint64_t>(lock), &l)) return;
  if (l.__cur_writer != 0) {
    *out << ", held for writing by ";
    describe_tid(static_cast<uint32_t>(l.__cur_writer), out);
  } else {
    *out << ", held for reading";
  }
}

// The first of those that it waits for.
void describe_descriptor(const void* key, Text* out) {
  auto at = reinterpret_cast<uint64_t>(key);
  const FdState* state;
  uint32_t events;
  int fd;
  *out << "descriptor";
  if (!safe_read(at + offsetof(FdWait, state), &state) || !safe_read(at + offsetof(FdWait, events), &events)) return;
  if (!safe_read(reinterpret_cast<uint64_t>(state) + offsetof(FdState, fd), &fd)) return;
  *out << ' ' << fd << ((events & EPOLLOUT) != 0 ? " to be written to" : " to be read from");
}

struct SystemCall {
  long number;
  const char* name;
};
constexpr SystemCall kSystemCalls[] = {
    {SYS_restart_syscall, "restart_syscall"},
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_pread64, "pread64"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_open, "open"},
    {SYS_openat, "openat"},
    {SYS_poll, "poll"},
    {SYS_ppoll, "ppoll"},
    {SYS_select, "select"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_epoll_pwait2, "epoll_pwait2"},
    {SYS_accept, "accept"},
    {SYS_accept4, "accept4"},
    {SYS_connect, "connect"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_futex, "futex"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_pause, "pause"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_flock, "flock"},
    {SYS_fcntl, "fcntl"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_semop, "semop"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_msgsnd, "msgsnd"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_sched_yield, "sched_yield"},
};

}  // namespace

void describe_tid(uint32_t tid, Text* out) {
  if (sched.main_g != nullptr && tid == sched.main_g->tid)
    *out << "main thread";
  else if (tid >= kFakeTidBase)
    *out << "thread " << tid - kFakeTidBase;
  else
    *out << "kernel thread " << tid;
}

void describe_thread(const G* g, Text* out) {
  describe_tid(g->tid, out);
  if (g->name[0] == '\0') return;
  *out << " \"";
  for (size_t i = 0; i < sizeof g->name && g->name[i] != '\0'; ++i) *out << (g->name[i] < ' ' ? '?' : g->name[i]);
  *out << '"';
}

void describe_wait(const WaitRecord& wait, Text* out) {
  switch (wait.kind) {
    case WaitKind::kMutex:
      return describe_mutex(wait.key, out);
    case WaitKind::kCond:
      *out << "condition variable " << wait.key;
      return;
    case WaitKind::kRead:
      return describe_rwlock(wait.key, " to read", out);
    case WaitKind::kWrite:
      return describe_rwlock(static_cast<const char*>(wait.key) - sizeof(uint32_t), " to write", out);
    case WaitKind::kSem:
      *out << "semaphore " << wait.key;
      return;
    case WaitKind::kBarrier:
      *out << "barrier " << wait.key;
      return;
    case WaitKind::kOnce:
      *out << "pthread_once " << wait.key << " that another thread runs";
      return;
    case WaitKind::kJoin:
      return describe_join(wait.key, out);
    case WaitKind::kSleep:
      *out << (wait.until != 0 ? "its sleep to end" : "a signal");  // pause()
      return;
    case WaitKind::kFutex:
      *out << "futex " << wait.key;
      return;
    case WaitKind::kDescriptor:
      return describe_descriptor(wait.key, out);
    case WaitKind::kOther:
      *out << wait.key;
      return;
  }
}

void describe_time(int64_t ns, Text* out) {
  constexpr int64_t kNsPerMs = 1000000;
  if (ns < kNsPerSec)
    *out << (ns < 0 ? 0 : ns / kNsPerMs) << " ms";
  else
    *out << ns / kNsPerSec << '.' << ns / (kNsPerSec / 10) % 10 << " s";
}

void describe_system_call(long number, Text* out) {
  for (const SystemCall& c : kSystemCalls) {
    if (c.number != number) continue;
    *out << c.name;
    return;
  }
  *out << "number " << int64_t{number};
}

}  // namespace mn
