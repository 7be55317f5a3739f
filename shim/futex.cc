// SPDX-License-Identifier: Apache-2.0
// The arguments of futex system calls. What is not exactly something that we serve is the kernel's to answer: errors,
// operations on words that processes share, priority inheritance, a call that this kernel does not have.
#include "runtime/sync/futex.h"

#include <linux/futex.h>

#include <atomic>

#include "runtime/io/block.h"
#include "runtime/os/syscall.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/wire.h"
#include "shim/shim.h"
#include "shim/syscall.h"
#include "shim/wait.h"

using namespace mn;

namespace {

constexpr long kKernels = 1 - 4096;  // no answer of ours
constexpr uint32_t kItemFlags = 2 /* FUTEX2_SIZE_U32 */ | FUTEX_PRIVATE_FLAG;
constexpr long kUserEnd = (1l << 47) - 4096;
constexpr uint32_t kAllBits = ~0u;

// Where a word may be; what is there shows when it is read.
bool is_word(long address) {
  return (address & 3) == 0 && address >= 0 && address < kUserEnd;
}
auto word_at(long address) {
  return reinterpret_cast<uint32_t*>(address);
}
bool fits_word(uint64_t value) {
  return value <= kAllBits;
}

bool copy_in(void* to, long from, size_t size) {
  enter();
  bool copied = copy_memory(to, reinterpret_cast<const void*>(from), size);
  leave();
  return copied;
}

enum class Timeout { kRelative, kAbsolute };

// False: the kernel will tell why not.
bool read_timeout(long timeout, Timeout kind, clockid_t clock, Deadline* deadline) {
  if (timeout == 0) return true;
  timespec t;
  if (!copy_in(&t, timeout, sizeof t) || t.tv_sec < 0 || !valid_timespec(t) || !valid_clock(clock)) return false;
  int64_t at = timespec_ns(t);
  bool relative = kind == Timeout::kRelative;
  if (relative && __builtin_add_overflow(at, now_ns(), &at)) at = kForever;
  *deadline = {relative ? kOwnClock : clock, at < kForever ? at : kForever - 1};
  return true;
}

long wait(long word, uint32_t value, uint32_t bits, long timeout, Timeout kind, clockid_t clock) {
  FutexWait how;
  if (bits == 0 || !read_timeout(timeout, kind, clock, &how.deadline)) return kKernels;
  how.restarts = how.deadline.never();
  return ufutex_wait(word_at(word), value, bits, how);
}

long wake(long word, int count, uint32_t bits) {
  if (bits == 0) return kKernels;
  return ufutex_wake(word_at(word), count > 0 ? count : 1, bits);  // as the kernel, which counts afterwards
}

long requeue(long word, long to, int wakes, int moves, const uint32_t* expected) {
  if (!is_word(to) || wakes < 0 || moves < 0) return kKernels;
  return ufutex_requeue(word_at(word), word_at(to), wakes, moves, expected);
}

long wake_op(long word, int count, long other, int other_count, uint32_t code) {
  auto signed_12 = [](uint32_t bits) { return static_cast<int32_t>(bits << 20) >> 20; };
  FutexChange c{(code >> 28) & 7, static_cast<uint32_t>(signed_12(code >> 12)), (code >> 24) & 15, signed_12(code)};
  if ((code >> 28 & FUTEX_OP_OPARG_SHIFT) != 0) c.operand = 1u << (c.operand & 31);
  if (!is_word(other) || c.change >= FutexChange::kChanges || c.comparison >= FutexChange::kComparisons)
    return kKernels;
  return ufutex_wake_op(word_at(word), count > 0 ? count : 1, word_at(other), other_count > 0 ? other_count : 1, c);
}

// SYS_futex; the fourth argument is a timeout or a second count.
long serve(long word, int op, uint32_t value, long fourth, long word2, uint32_t value3) {
  if ((op & FUTEX_PRIVATE_FLAG) == 0 || !is_word(word)) return kKernels;
  auto count = static_cast<int>(value), count2 = static_cast<int>(fourth);
  switch (op & ~FUTEX_PRIVATE_FLAG) {
    case FUTEX_WAIT:
      return wait(word, value, kAllBits, fourth, Timeout::kRelative, CLOCK_MONOTONIC);
    case FUTEX_WAIT_BITSET:
      return wait(word, value, value3, fourth, Timeout::kAbsolute, CLOCK_MONOTONIC);
    case FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME:
      return wait(word, value, value3, fourth, Timeout::kAbsolute, CLOCK_REALTIME);
    case FUTEX_WAKE:
      return wake(word, count, kAllBits);
    case FUTEX_WAKE_BITSET:
      return wake(word, count, value3);
    case FUTEX_REQUEUE:
      return requeue(word, word2, count, count2, nullptr);
    case FUTEX_CMP_REQUEUE:
      return requeue(word, word2, count, count2, &value3);
    case FUTEX_WAKE_OP:
      return wake_op(word, count, word2, count2, value3);
    default:
      return kKernels;
  }
}

// The kernel knows the owner of a lock by its thread: the caller becomes one.
bool inherits_priority(int op) {
  switch (op & FUTEX_CMD_MASK) {
    case FUTEX_LOCK_PI:
    case FUTEX_UNLOCK_PI:
    case FUTEX_TRYLOCK_PI:
    case FUTEX_WAIT_REQUEUE_PI:
    case 13 /* FUTEX_LOCK_PI2 */:
      return true;
    default:
      return false;
  }
}

bool may_wait(int op) {
  int command = op & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

// Whether this kernel has the call: it finds fault with these arguments if it does.
bool have(long nr) {
  static constinit std::atomic<int> known[kSysFutexRequeue - kSysFutexWaitv + 1] = {};
  std::atomic<int>& answer = known[nr - kSysFutexWaitv];
  int present = answer.load(std::memory_order_relaxed);
  if (present == 0) {
    present = raw_syscall(nr, 0, 0, 0, -1) == -ENOSYS ? -1 : 1;
    answer.store(present, std::memory_order_relaxed);
  }
  return present > 0;
}

bool is_ours(const FutexItem& item) {
  return item.flags == kItemFlags && item.reserved == 0 && fits_word(item.value) &&
         is_word(static_cast<long>(item.word));
}

bool read_items(FutexItem* items, long from, size_t n) {
  if (from == 0 || !copy_in(items, from, n * sizeof(FutexItem))) return false;
  for (size_t i = 0; i < n; ++i)
    if (!is_ours(items[i])) return false;
  return true;
}

long wait_any(long from, unsigned long n, unsigned flags, long timeout, clockid_t clock) {
  FutexItem items[kMaxFutexItems];
  FutexWait how;
  if (n == 0 || n > kMaxFutexItems || flags != 0 || !read_items(items, from, n)) return kKernels;
  if (!read_timeout(timeout, Timeout::kAbsolute, clock, &how.deadline)) return kKernels;
  return ufutex_wait_any(items, static_cast<unsigned>(n), how);
}

// Ours, or the kernel's, where the caller may sleep.
long answer(long ours, long nr, long a, long b, long c, long d, long e, long f) {
  if (ours != kKernels) return syscall_result(ours);
  auto ask = [=] { return syscall_result(raw_syscall(nr, a, b, c, d, e, f)); };
  bool waits = nr == kSysFutexWaitv || nr == kSysFutexWait || (nr == SYS_futex && may_wait(static_cast<int>(b)));
  return waits && scheduled() ? syscall_result(blocking(ask)) : ask();
}

}  // namespace

namespace mn {

long futex_call(long nr, long word, long op, long value, long fourth, long word2, long value3) {
  if (MN_UNLIKELY(inherits_priority(static_cast<int>(op)))) thread_wire();
  long ours =
      serve(word, static_cast<int>(op), static_cast<uint32_t>(value), fourth, word2, static_cast<uint32_t>(value3));
  return answer(ours, nr, word, op, value, fourth, word2, value3);
}

long futex_waitv_call(long nr, long items, long n, long flags, long timeout, long clock, long f) {
  long ours = kKernels;
  if (have(nr))
    ours =
        wait_any(items, static_cast<unsigned>(n), static_cast<unsigned>(flags), timeout, static_cast<clockid_t>(clock));
  return answer(ours, nr, items, n, flags, timeout, clock, f);
}

long futex_wake_call(long nr, long word, long mask, long count, long flags, long e, long f) {
  auto bits = static_cast<uint64_t>(mask);
  long ours = kKernels;
  if (have(nr) && static_cast<uint32_t>(flags) == kItemFlags && is_word(word) && bits != 0 && fits_word(bits))
    ours = static_cast<int>(count) == 0 ? 0 : wake(word, static_cast<int>(count), static_cast<uint32_t>(bits));
  return answer(ours, nr, word, mask, count, flags, e, f);
}

long futex_wait_call(long nr, long word, long value, long mask, long flags, long timeout, long clock) {
  auto bits = static_cast<uint64_t>(mask), expected = static_cast<uint64_t>(value);
  FutexWait how;
  long ours = kKernels;
  if (have(nr) && static_cast<uint32_t>(flags) == kItemFlags && is_word(word) && bits != 0 && fits_word(bits) &&
      fits_word(expected) && read_timeout(timeout, Timeout::kAbsolute, static_cast<clockid_t>(clock), &how.deadline))
    ours = ufutex_wait(word_at(word), static_cast<uint32_t>(expected), static_cast<uint32_t>(bits), how);
  return answer(ours, nr, word, value, mask, flags, timeout, clock);
}

long futex_requeue_call(long nr, long from, long flags, long wakes, long moves, long e, long f) {
  FutexItem items[2];
  long ours = kKernels;
  if (have(nr) && static_cast<unsigned>(flags) == 0 && read_items(items, from, 2)) {
    auto expected = static_cast<uint32_t>(items[0].value);
    ours = requeue(static_cast<long>(items[0].word), static_cast<long>(items[1].word), static_cast<int>(wakes),
                   static_cast<int>(moves), &expected);
  }
  return answer(ours, nr, from, flags, wakes, moves, e, f);
}

}  // namespace mn
