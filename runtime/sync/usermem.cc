// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/usermem.h"

#include <signal.h>

#include "runtime/arch/probe.h"
#include "runtime/sched/sched.h"

namespace mn {
namespace {

// A fault kills where its signal is blocked, handler or not: a thread that blocks it pays two system calls.
class FaultsOpen {
 public:
  FaultsOpen() : blocked_((this_g()->sigmask & kFaults) != 0) {
    if (MN_UNLIKELY(blocked_)) change(SIG_UNBLOCK);
  }
  ~FaultsOpen() {
    if (MN_UNLIKELY(blocked_)) change(SIG_BLOCK);
  }
  FaultsOpen(const FaultsOpen&) = delete;
  FaultsOpen& operator=(const FaultsOpen&) = delete;

 private:
  static constexpr uint64_t kFaults = (uint64_t{1} << (SIGSEGV - 1)) | (uint64_t{1} << (SIGBUS - 1));

  static void change(int how) {
    uint64_t set = kFaults & this_g()->sigmask;
    raw_syscall(SYS_rt_sigprocmask, how, sys_arg(&set), 0, 8);
  }
  bool blocked_;
};

}  // namespace

bool load_word(const uint32_t* word, uint32_t* value) {
  FaultsOpen open;
  int64_t found = mn_probe_load(word);
  *value = static_cast<uint32_t>(found);
  return MN_LIKELY(found >= 0);
}

bool exchange_word(uint32_t* word, uint32_t expected, uint32_t desired, uint32_t* found) {
  FaultsOpen open;
  int64_t was = mn_probe_exchange(word, expected, desired);
  *found = static_cast<uint32_t>(was);
  return MN_LIKELY(was >= 0);
}

bool copy_memory(void* to, const void* from, size_t size) {
  FaultsOpen open;
  return mn_probe_copy(to, from, size) == 0;
}

}  // namespace mn
