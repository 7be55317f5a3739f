// SPDX-License-Identifier: Apache-2.0
// What a thread is created with: the attribute object's values, or the process's defaults (pthread_setattr_default_np),
// judged as glibc's allocate_stack judges them.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

namespace mn {

struct Request {
  size_t stack_size = 0;
  size_t guard_size = 0;
  void* user_stack = nullptr;
  bool detached = false;
  bool explicit_policy = false;
  bool own_mask = false;
  uint64_t mask = 0;
};

// 0, or EINVAL. Null: the defaults of the start.
int read_attr(const pthread_attr_t* attr, Request* request);

// Whether a policy or a priority was set in an attribute object: of what libc keeps in struct pthread, too
// (kFlagsSchedulingTold), the bits that are set.
int attr_scheduling(const pthread_attr_t* attr);
// What a thread has, which may be what libc's own functions refuse (SCHED_BATCH).
void attr_set_scheduling(pthread_attr_t* attr, int policy, int priority);

// The default attribute, once the program has set one: what a thread is created with that has no attribute object, and
// every C11 thread.
class DefaultAttr {
 public:
  DefaultAttr();
  ~DefaultAttr();
  DefaultAttr(const DefaultAttr&) = delete;
  DefaultAttr& operator=(const DefaultAttr&) = delete;
  const pthread_attr_t* get() const { return &attr_; }
  int error() const { return error_; }
  static bool is_set();

 private:
  pthread_attr_t attr_;
  int error_;
};

void attr_init();
int attr_set_default(const pthread_attr_t* attr);

}  // namespace mn
