// SPDX-License-Identifier: Apache-2.0
#include "runtime/io/confine.h"

#include "runtime/io/netpoll.h"
#include "runtime/os/confined.h"
#include "runtime/os/memory.h"
#include "runtime/sched/provide.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

bool copy(void* to, const void* from, size_t size) {
  enter();
  bool copied = copy_memory(to, from, size);
  leave();
  return copied;
}

uint32_t taken_by(const sock_fprog* filter) {
  sock_fprog program{};
  if (!copy(&program, filter, sizeof program) || program.len == 0 || program.len > BPF_MAXINSNS) return 0;
  size_t size = sizeof(sock_filter) * program.len;
  auto* instructions = static_cast<sock_filter*>(map_memory(size));
  if (instructions == nullptr) return ~0u;  // who knows
  uint32_t taken = copy(instructions, program.filter, size) ? means_taken_by(instructions, program.len) : 0;
  unmap_memory(instructions, size);
  return taken;
}

}  // namespace

void confine_by(const sock_fprog* filter) {
  uint32_t taken = taken_by(filter);
  if (taken == 0) return;
  constexpr uint32_t kProvided = kThreads | kTrials | kMemory;
  if ((taken & kMembarrier) != 0) fence_on_enter_from_now();
  means_lost.fetch_or(taken & ~(kProvided | kReadiness), std::memory_order_relaxed);
  if ((taken & kReadiness) != 0) netpoll_give_up();
  provide(taken & kProvided, threads_alive());
  sysmon_await_look();
}

}  // namespace mn
