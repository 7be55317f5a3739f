// SPDX-License-Identifier: Apache-2.0
// A question is a word that both sides change:
//
//   kIdle     nothing is asked                        -> kAsked, by the observer, who has filled in the rest
//   kAsked    the thread has not answered             -> kCopying, by the thread; kIdle, by the observer: too late
//   kCopying  the thread copies; it always finishes   -> kAnswered, by the thread
//   kAnswered                                         -> kIdle, by the observer
//
// The thread goes on as soon as it has copied: it may hold any lock, so it must not wait for the observer. A signal
// that arrives when nobody asks any more does nothing.
#include "runtime/observe/ask.h"

#include <fcntl.h>
#include <ucontext.h>

#include "runtime/base/text.h"
#include "runtime/os/clock.h"
#include "runtime/thread/signal.h"
#include "runtime/thread/standin.h"

namespace mn {
namespace {

enum Question : uint32_t { kIdle, kAsked, kCopying, kAnswered };

constexpr int64_t kPatience = 200 * 1000 * 1000;

constinit int g_sig = 0;
constinit std::atomic<uint32_t> g_question{kIdle};
constinit std::atomic<int> g_asked{0};
constinit StackCopy* g_into = nullptr;
constinit G* g_who = nullptr;

uint64_t hex(const char** at) {
  uint64_t v = 0;
  const char* p = *at;
  if (p[0] == '0' && p[1] == 'x') p += 2;
  for (;; ++p) {
    if (*p >= '0' && *p <= '9')
      v = v * 16 + static_cast<uint64_t>(*p - '0');
    else if (*p >= 'a' && *p <= 'f')
      v = v * 16 + static_cast<uint64_t>(*p - 'a' + 10);
    else
      break;
  }
  *at = p;
  return v;
}

}  // namespace

void ask_by(int sig) {
  g_sig = sig;
}

// "running", or the number of the system call (decimal, -1 for none), its arguments, stack pointer and program counter.
Doing what_does(int ktid) {
  Doing doing;
  Text path;
  path << "/proc/self/task/" << ktid << "/syscall";
  long fd = raw_syscall(SYS_openat, AT_FDCWD, sys_arg(path.c_str()), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return doing;
  char buf[256];
  long n = raw_syscall(SYS_read, fd, sys_arg(buf), sizeof buf - 1);
  raw_syscall(SYS_close, fd);
  if (n <= 0) return doing;
  buf[n] = '\0';
  doing.known = true;
  if (buf[0] == 'r') return doing;
  doing.asleep = true;
  const char* p = buf;
  if (*p == '-') {
    while (*p != ' ' && *p != '\0') ++p;
  } else {
    for (doing.system_call = 0; *p >= '0' && *p <= '9'; ++p) doing.system_call = doing.system_call * 10 + (*p - '0');
  }
  while (*p == ' ') {
    ++p;
    doing.sp = doing.pc;
    doing.pc = hex(&p);
  }
  return doing;
}

bool ask(int ktid, StackCopy* into, G** who) {
  if (g_sig == 0 || !stands_in(g_sig)) return false;
  g_into = into;
  g_who = nullptr;
  g_asked.store(ktid, std::memory_order_relaxed);
  g_question.store(kAsked, std::memory_order_release);  // pairs with answer()
  siginfo_t info{};
  info.si_signo = g_sig;
  info.si_code = kPokeCode;  // a handler of the program's that is set meanwhile will not see it
  info.si_pid = sys_getpid();
  raw_syscall(SYS_rt_tgsigqueueinfo, sys_getpid(), ktid, g_sig, sys_arg(&info));
  int64_t deadline = now_ns() + kPatience;
  for (;;) {
    uint32_t seen = g_question.load(std::memory_order_acquire);  // Acquire: pairs with answer().
    if (seen == kAnswered) break;
    if (seen == kAsked && now_ns() >= deadline) {
      // Relaxed: nothing was written for us.
      if (g_question.compare_exchange_strong(seen, kIdle, std::memory_order_relaxed)) return false;
      continue;
    }
    futex_wait(&g_question, seen, seen == kAsked ? deadline : -1);
  }
  g_question.store(kIdle, std::memory_order_relaxed);
  *who = g_who;
  return true;
}

bool answer(const siginfo_t* info, const void* context) {
  if (info->si_code != kPokeCode || info->si_pid != sys_getpid()) return false;
  uint32_t asked = kAsked;
  if (g_asked.load(std::memory_order_relaxed) != sys_gettid()) return true;
  // Acquire: pairs with ask().
  if (!g_question.compare_exchange_strong(asked, kCopying, std::memory_order_acquire)) return true;
  const auto& r = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  auto at = [&r](int index) { return static_cast<uint64_t>(r[index]); };
  g_into->take(
      {at(REG_RBX), at(REG_RBP), at(REG_R12), at(REG_R13), at(REG_R14), at(REG_R15), at(REG_RSP), at(REG_RIP)});
  g_who = this_g();
  g_question.store(kAnswered, std::memory_order_release);  // pairs with ask()
  futex_wake(&g_question);
  return true;
}

}  // namespace mn
