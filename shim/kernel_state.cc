// SPDX-License-Identifier: Apache-2.0
// Functions that change what Linux keeps for each thread (runtime/thread/kernel_state.h says what becomes of it), and
// those that ask for it by a thread's number. (By syscall(): syscall.cc.)
#include "runtime/thread/kernel_state.h"

#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

#include "runtime/io/confine.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"
#include "shim/syscall.h"

using namespace mn;

namespace {

// `call` makes it, and sets errno.
template <class Call>
auto kept(Kept how, Call call) -> decltype(call()) {
  if (int error = keep_kernel_state(how)) return errno_result(error);
  return call();
}

Kept own_if(bool is) {
  return is ? Kept::kOwn : Kept::kProcess;
}

// What a child of vfork asks its parent's thread to be to it, for good.
bool concerns_parent(int option, unsigned long argument) {
  return option == PR_SET_PDEATHSIG && argument != 0;
}

}  // namespace

namespace mn {

long prctl_as_thread(int option, long a, long b, long c, long d) {
  auto call = [=] { return real.prctl(option, a, b, c, d); };
  if (in_vfork_child()) {
    if (concerns_parent(option, static_cast<unsigned long>(a))) this_g()->vfork_keeps = true;
    return call();
  }
  char* name = reinterpret_cast<char*>(a);
  if (option == PR_SET_NAME) return errno_result(thread_set_own_name(name));
  if (option == PR_GET_NAME) return errno_result(thread_get_own_name(name));
  if (int error = keep_kernel_state(prctl_kept(option))) return errno_result(error);
  if (option == PR_SET_SECCOMP && a == SECCOMP_MODE_FILTER) confine_by(reinterpret_cast<const sock_fprog*>(b));
  return call();
}

}  // namespace mn

MN_SHIM int prctl(int option, ...) {
  va_list list;
  va_start(list, option);
  long a[4];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  bool act = on();  // decides, too: the table of real functions is filled
  if (!act) return real.prctl(option, a[0], a[1], a[2], a[3]);
  return static_cast<int>(prctl_as_thread(option, a[0], a[1], a[2], a[3]));
}

MN_SHIM int arch_prctl(int option, unsigned long address) {
  auto call = [=] { return real.arch_prctl(option, address); };
  return on() ? kept(arch_prctl_kept(option), call) : call();
}

MN_SHIM int personality(unsigned long persona) {
  auto call = [=] { return real.personality(persona); };
  return on() ? kept(own_if(static_cast<uint32_t>(persona) != 0xffffffff), call) : call();
}

MN_SHIM int capset(void* header, void* data) {
  auto call = [=] { return real.capset(header, data); };
  return on() ? kept(Kept::kOwn, call) : call();
}

MN_SHIM int ioperm(unsigned long from, unsigned long count, int turn_on) {
  auto call = [=] { return real.ioperm(from, count, turn_on); };
  return on() ? kept(Kept::kOwn, call) : call();
}
MN_SHIM int iopl(int level) {
  auto call = [=] { return real.iopl(level); };
  return on() ? kept(Kept::kOwn, call) : call();
}

// --- priorities. Main is known by the process's number, on whichever kernel thread it is.

namespace {

id_t kernels(__priority_which_t which, id_t who) {
  if (which != PRIO_PROCESS || who != static_cast<id_t>(sched.pid) || sched.main_g == nullptr) return who;
  if (sched.main_g == this_g()) return 0;
  const M* m = sched.main_g->wired ? sched.main_g->m.load(std::memory_order_relaxed) : nullptr;
  return m != nullptr ? static_cast<id_t>(m->ktid.load(std::memory_order_relaxed)) : who;
}

}  // namespace

MN_SHIM int setpriority(__priority_which_t which, id_t who, int priority) {
  if (!on_here()) return real.setpriority(which, who, priority);
  bool own = which == PRIO_PROCESS && (names_caller(static_cast<long>(who)) || kernels(which, who) == 0);
  return kept(own_if(own), [=] { return real.setpriority(which, own ? 0 : kernels(which, who), priority); });
}
MN_SHIM int getpriority(__priority_which_t which, id_t who) {
  return on_here() ? real.getpriority(which, kernels(which, who)) : real.getpriority(which, who);
}
MN_SHIM int nice(int increment) {
  auto call = [=] { return real.nice(increment); };
  return on_here() ? kept(own_if(increment != 0), call) : call();
}

// --- tracing: requests must come from the tracer's kernel thread, and what is traced is one

// clang says that such an enum may be promoted, and va_start be wrong. It is an unsigned int, which stays one.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvarargs"
MN_SHIM long ptrace(__ptrace_request request, ...) {
  va_list list;
  va_start(list, request);
#pragma GCC diagnostic pop
  auto pid = va_arg(list, pid_t);
  void* address = va_arg(list, void*);
  void* data = va_arg(list, void*);
  va_end(list);
  bool act = on();  // decides, too
  if (act && in_vfork_child() && request == PTRACE_TRACEME) this_g()->vfork_keeps = true;
  if (act) keep_kernel_state(Kept::kBound);
  return real.ptrace(request, pid, address, data);
}
