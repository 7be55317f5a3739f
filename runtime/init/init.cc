// SPDX-License-Identifier: Apache-2.0
#include "runtime/init/init.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "runtime/arch/context.h"
#include "runtime/base/options.h"
#include "runtime/base/version.h"
#include "runtime/init/go.h"
#include "runtime/io/netpoll.h"
#include "runtime/observe/observer.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/fork.h"
#include "runtime/thread/policy.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/thread.h"

namespace mn {

constinit std::atomic<Mode> mode{Mode::kUndecided};

namespace {

constexpr int kExitBadOption = 125;

void say(const char* what, const char* detail) {
  Text line;
  line << "libmn: " << what << detail << ": threads stay libc's (1:1)\n";
  write_stderr(line.data(), line.size());
}

int cpus() {
  cpu_set_t set{};  // the kernel fills in its own size only
  if (raw_syscall(SYS_sched_getaffinity, 0, sizeof set, sys_arg(&set)) <= 0) return 1;
  int n = CPU_COUNT(&set);
  return n < 1 ? 1 : n > kMaxProcs ? kMaxProcs : n;
}

// What was executed (of a script, the script), and what runs (its interpreter, by no other name).
bool runs_named_program() {
  char exe[PATH_MAX];
  long size = raw_syscall(SYS_readlink, sys_arg("/proc/self/exe"), sys_arg(exe), sizeof exe - 1);
  exe[size > 0 ? size : 0] = '\0';
  return names_program(options.programs, reinterpret_cast<const char*>(getauxval(AT_EXECFN)), exe);
}

// A set-user-id program, or one with capabilities of its own: the options are the user's, and would have it write files
// and start as the other. ld.so preloads libmn into it where the administrator says so (/etc/ld.so.preload).
bool serves_another() {
  return getauxval(AT_SECURE) != 0;
}

// Gs switch stacks, and the kernel's shadow stack would not follow. ld.so has turned it on by now, if at all.
bool has_shadow_stack() {
  constexpr long kStatus = 0x5005, kOn = 1;  // ARCH_SHSTK_STATUS, ARCH_SHSTK_SHSTK: Linux 6.6
  long features = 0;
  return raw_syscall(SYS_arch_prctl, kStatus, sys_arg(&features)) == 0 && (features & kOn) != 0;
}

Mode choose() {
  if (const char* missing = real_load()) {
    say("libc lacks ", missing);
    return Mode::kPassThrough;
  }
  if (serves_another()) return Mode::kPassThrough;
  Text error;
  bool valid = options_parse(environ, &options, &error);
  if (!runs_named_program()) return Mode::kPassThrough;
  if (!valid) {
    write_stderr(error.data(), error.size());
    raw_syscall(SYS_exit_group, kExitBadOption);
  }
  if (options.help != 0) {
    Text line;
    line << version() << '\n';
    write_stderr(line.data(), line.size());
    options_help(write_stderr);
  }
  if (options.mode != 0) return Mode::kPassThrough;
  if (is_go_program()) return Mode::kPassThrough;
  if (has_shadow_stack()) {
    say("", "the process has a shadow stack (GLIBC_TUNABLES)");
    return Mode::kPassThrough;
  }
  if (const char* why = tcb_discover()) {
    say("", why);
    return Mode::kPassThrough;
  }
  if (const char* why = context_init(options.switcher == 1, (options.disable & kDisableFsGsBase) == 0)) {
    say("", why);
    return Mode::kPassThrough;
  }
  sched.nprocs = options.procs != 0 ? static_cast<int>(options.procs) : cpus();
  gpool_init((options.disable & kDisableGuardInstall) == 0);
  threads_init();
  adopt_init();
  policy_init();
  preempt_init();
  signals_init();
  netpoll_init();
  observe_init();
  return Mode::kOn;
}

// First of all constructors of the library: nothing in it needs an earlier one.
__attribute__((constructor(101))) void constructor() {
  if (!on()) return;
  fork_init();
  ::at_quick_exit(observe_at_exit);
  self_g();
  observe_prepare();
}

__attribute__((destructor)) void destructor() {
  if (mode.load(std::memory_order_relaxed) == Mode::kOn) observe_at_exit();
}

}  // namespace

// A child of vfork runs in its parent's memory: nothing may be decided there.
bool borrowed() {
  return real_load() == nullptr && tcb_describe() == nullptr && tcb_tid(thread_pointer()) == raw_syscall(SYS_getppid);
}

MN_COLD bool decide() {
  if (borrowed()) return false;
  mode.store(choose(), std::memory_order_relaxed);
  return mode.load(std::memory_order_relaxed) == Mode::kOn;
}

}  // namespace mn
