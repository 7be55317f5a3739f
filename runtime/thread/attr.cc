// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread/attr.h"

#include <errno.h>
#include <string.h>

#include <atomic>

#include "runtime/base/options.h"
#include "runtime/os/memory.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"

namespace mn {
namespace {

// What glibc wants to be left of a stack beside TLS and TCB (MINIMAL_REST_STACK of x86).
constexpr size_t kLeastRest = 2048;

constinit size_t g_default_stack = 0;
constinit size_t g_default_guard = kPageSize;
constinit std::atomic<bool> g_default_is_set{false};
constinit bool g_is_laid_out = false;  // an attribute object is as find_flags() says

void read_defaults() {
  pthread_attr_t attr;
  if (real.pthread_getattr_default_np(&attr) != 0) return;
  real.pthread_attr_getstacksize(&attr, &g_default_stack);
  real.pthread_attr_getguardsize(&attr, &g_default_guard);
  real.pthread_attr_destroy(&attr);
  if (options.stack_size != 0) g_default_stack = round_up(options.stack_size, kPageSize);
}

// struct pthread_attr begins with the priority, the policy and the flags, in which it is a bit that a policy was set.
void find_flags() {
  pthread_attr_t attr;
  if (real.pthread_attr_init(&attr) != 0) return;
  int before[3], after[3];
  memcpy(before, &attr, sizeof before);
  real.pthread_attr_setschedpolicy(&attr, SCHED_RR);
  memcpy(after, &attr, sizeof after);
  real.pthread_attr_destroy(&attr);
  g_is_laid_out = before[0] == after[0] && after[1] == SCHED_RR && (before[2] ^ after[2]) == kFlagPolicySet;
}

// What glibc takes off a stack for TLS and TCB.
size_t libcs_part() {
  return round_up(tcb_layout.static_size, tcb_layout.static_align);
}

int check_own(Request* r) {
  r->stack_size &= ~(tcb_layout.static_align - 1);
  size_t guard = round_up(r->guard_size, kPageSize);
  if (guard < r->guard_size || r->stack_size + guard < guard) return EINVAL;
  return r->stack_size + guard < round_up(guard + libcs_part() + kLeastRest, kPageSize) ? EINVAL : 0;
}

}  // namespace

int read_attr(const pthread_attr_t* attr, Request* r) {
  r->stack_size = g_default_stack;
  r->guard_size = g_default_guard;
  if (attr == nullptr) return 0;
  void* base = nullptr;
  size_t size = 0;
  int detach = PTHREAD_CREATE_JOINABLE;
  sigset_t mask;
  real.pthread_attr_getguardsize(attr, &r->guard_size);
  real.pthread_attr_getdetachstate(attr, &detach);
  r->detached = detach == PTHREAD_CREATE_DETACHED;
  if (real.pthread_attr_getsigmask_np(attr, &mask) == 0) {
    r->own_mask = true;
    memcpy(&r->mask, &mask, sizeof r->mask);
  }
  int inherit = PTHREAD_INHERIT_SCHED;
  real.pthread_attr_getinheritsched(attr, &inherit);
  r->explicit_policy = inherit == PTHREAD_EXPLICIT_SCHED;
  // The object has the stack's end; without a size (pthread_attr_setstackaddr) that is what comes out as its base.
  real.pthread_attr_getstack(attr, &base, &size);
  const uintptr_t end = reinterpret_cast<uintptr_t>(base) + size;
  if (size != 0) r->stack_size = size;
  if (end == 0) return check_own(r);
  if (size != 0 && size < libcs_part() + kLeastRest) return EINVAL;
  r->user_stack = reinterpret_cast<void*>(end - r->stack_size);
  return 0;
}

int attr_scheduling(const pthread_attr_t* attr) {
  if (!g_is_laid_out) return kFlagsSchedulingTold;
  int words[3];
  memcpy(words, attr, sizeof words);
  return words[2] & kFlagsSchedulingTold;
}

void attr_set_scheduling(pthread_attr_t* attr, int policy, int priority) {
  if (!g_is_laid_out) return;
  const int words[] = {priority, policy};
  memcpy(attr, words, sizeof words);
}

DefaultAttr::DefaultAttr() : error_(real.pthread_getattr_default_np(&attr_)) {
  if (error_ == 0) real.pthread_attr_setstacksize(&attr_, g_default_stack);
}

DefaultAttr::~DefaultAttr() {
  if (error_ == 0) real.pthread_attr_destroy(&attr_);
}

bool DefaultAttr::is_set() {
  return g_default_is_set.load(std::memory_order_relaxed);
}

void attr_init() {
  read_defaults();
  find_flags();
}

int attr_set_default(const pthread_attr_t* attr) {
  if (int error = real.pthread_setattr_default_np(attr)) return error;
  read_defaults();
  g_default_is_set.store(true, std::memory_order_relaxed);
  return 0;
}

}  // namespace mn
