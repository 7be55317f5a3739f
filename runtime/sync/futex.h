// SPDX-License-Identifier: Apache-2.0
// Raw futexes: what a program asks of syscall(SYS_futex, ...) and its younger kin, for words that one process uses
// (FUTEX_PRIVATE_FLAG). A thread that waits parks; futex.cc has the rules.
#pragma once

#include <cstdint>

#include "runtime/os/clock.h"

namespace mn {

// All outside. They return what the kernel does: 0 or more, or -errno. Words are aligned.

struct FutexWait {
  Deadline deadline{};
  bool restarts = true;  // goes on after handlers that all have SA_RESTART; the older timed waits do not
};

// `bits` choose among those who wait on the word; at least one is set.
long ufutex_wait(const uint32_t* word, uint32_t value, uint32_t bits, const FutexWait& how);
long ufutex_wake(const uint32_t* word, int count, uint32_t bits);

// Wakes up to `wakes` and moves up to `moves` of the others to the queue of `to`; how many in all. `expected` not null:
// EAGAIN unless it is what the word holds.
long ufutex_requeue(const uint32_t* word, const uint32_t* to, int wakes, int moves, const uint32_t* expected);

// FUTEX_WAKE_OP: changes a word, wakes waiters on another and, if the changed one was as said, waiters on that, too.
struct FutexChange {
  enum : uint32_t { kSet, kAdd, kOr, kAndNot, kXor, kChanges };
  enum : uint32_t { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kComparisons };
  uint32_t change, operand;
  uint32_t comparison;
  int32_t with;
};
long ufutex_wake_op(const uint32_t* word, int count, uint32_t* changed, int changed_count, const FutexChange& c);

// struct futex_waitv of <linux/futex.h>, which older systems lack.
struct FutexItem {
  uint64_t value, word;
  uint32_t flags, reserved;
};
constexpr unsigned kMaxFutexItems = 128;
constexpr long kSysFutexWaitv = 449;
// Waits on all items, at least one, until one of them is woken: its index.
long ufutex_wait_any(const FutexItem* items, unsigned n, const FutexWait& how);

// From now on raw futexes are the kernel's, all of them; waiters are woken, to wait there. For programs with threads
// that share another's thread pointer, so that we cannot tell who calls.
void ufutex_leave_to_kernel();
bool ufutex_left_to_kernel();

}  // namespace mn
