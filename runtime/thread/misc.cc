// SPDX-License-Identifier: Apache-2.0
// What a thread may ask about threads, its sleep and its yield.
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sync/usermem.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/attr.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {

namespace {

int copy_affinity(pthread_t t, pthread_attr_t* attr) {
  constexpr size_t kMostBytes = 4096;  // 32,768 CPUs
  alignas(cpu_set_t) char cpus[kMostBytes];
  for (size_t size = 32; size <= kMostBytes; size *= 2) {
    auto* set = reinterpret_cast<cpu_set_t*>(cpus);
    int error = thread_getaffinity(t, size, set);
    if (error == 0) return real.pthread_attr_setaffinity_np(attr, size, set);
    if (error != EINVAL) return error;
  }
  return EINVAL;
}

}  // namespace

int thread_getattr(pthread_t t, pthread_attr_t* attr) {
  G* g = thread_g(t);
  if (g == nullptr || g->slot == nullptr) return real.pthread_getattr_np(t, attr);
  int error = real.pthread_attr_init(attr);
  if (error != 0) return error;
  const Told told = told_of(g);
  real.pthread_attr_setstack(attr, g->stack_base, g->stack_size);
  real.pthread_attr_setguardsize(attr, g->user_stack ? 0 : g->guard_size);
  attr_set_scheduling(attr, told.policy, told.param.sched_priority);
  if (g->explicit_policy) real.pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
  bool detached = (g->life.load(std::memory_order_relaxed) & kDetached) != 0;
  real.pthread_attr_setdetachstate(attr, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
  error = copy_affinity(t, attr);
  if (error != 0) real.pthread_attr_destroy(attr);
  return error;
}

namespace {

// Main's name is the process's in the kernel, and is there whichever M runs main.
class MainsName {
 public:
  explicit MainsName(int flags) {
    Text path;
    path << "/proc/self/task/" << sys_getpid() << "/comm";
    fd_ = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(path.c_str()), flags | O_CLOEXEC);
  }
  ~MainsName() {
    if (fd_ >= 0) raw_syscall(SYS_close, fd_);
  }
  // 0 or errno
  int set(const char* name) { return result(fd_ < 0 ? fd_ : raw_syscall(SYS_write, fd_, sys_arg(name), length(name))); }
  int get(char* buf, size_t size) {
    long n = fd_ < 0 ? fd_ : raw_syscall(SYS_read, fd_, sys_arg(buf), static_cast<long>(size));
    if (n > 0) buf[n - 1] = 0;  // a new line
    return result(n);
  }

 private:
  static int result(long n) { return n < 0 ? static_cast<int>(-n) : 0; }
  static long length(const char* name) { return name[0] == 0 ? 1 : static_cast<long>(strlen(name)); }
  long fd_;
};

bool moving_main(const G* g) {
  return g != nullptr && g == sched.main_g && sched.started.load(std::memory_order_relaxed);
}

}  // namespace

int thread_setname(pthread_t t, const char* name) {
  G* g = thread_g(t);
  size_t size = strlen(name);
  if (size >= sizeof g->name) return ERANGE;
  if (g != nullptr && ended(g)) return ENOENT;
  if (g != nullptr) memcpy(g->name, name, size + 1);
  if (moving_main(g)) return MainsName(O_WRONLY).set(name);
  return g == nullptr || g->slot == nullptr || is_kernels(g) ? real.pthread_setname_np(t, name) : 0;
}

int thread_set_own_name(const char* name) {
  char copy[sizeof(G::name)] = {};
  // As the kernel, not beyond the end of the text, which may be that of the memory.
  auto address = reinterpret_cast<uintptr_t>(name);
  size_t here = kPageSize - address % kPageSize, most = sizeof copy - 1;
  enter();
  bool good = copy_memory(copy, name, here < most ? here : most);
  if (good && here < most && strlen(copy) == here) good = copy_memory(copy + here, name + here, most - here);
  leave();
  return good ? thread_setname(thread_of(self_g()), copy) : EFAULT;
}

int thread_get_own_name(char* name) {
  char copy[sizeof(G::name)] = {};
  if (int error = thread_getname(thread_of(self_g()), copy, sizeof copy)) return error;
  enter();
  bool good = copy_memory(name, copy, sizeof copy);
  leave();
  return good ? 0 : EFAULT;
}

int thread_getname(pthread_t t, char* buf, size_t size) {
  G* g = thread_g(t);
  if (moving_main(g)) return size < sizeof g->name ? ERANGE : MainsName(O_RDONLY).get(buf, size);
  if (g == nullptr || g->slot == nullptr) return real.pthread_getname_np(t, buf, size);
  if (ended(g)) return ENOENT;
  if (is_kernels(g)) return real.pthread_getname_np(t, buf, size);
  if (size < sizeof g->name) return ERANGE;  // as glibc: room for any name is asked for
  memcpy(buf, g->name, sizeof g->name);
  return 0;
}

int thread_sleep(const Deadline& deadline) {
  for (;;) {
    G* g = self_g();
    enter();
    int error = wait_if(&g->note, {deadline, nullptr, WaitKind::kSleep}, [] { return true; });
    leave();
    if (error == EINTR) return EINTR;
    if (deadline.passed()) return ETIMEDOUT;
  }
}

void thread_yield() {
  G* g = self_g();
  if (MN_UNLIKELY(g->wired)) {
    yield_cpu();
    return;
  }
  enter();
  bool switched = yield_now();
  leave();
  if (!switched && sched.n_idle_ps.load(std::memory_order_relaxed) == 0) yield_cpu();
}

}  // namespace mn
