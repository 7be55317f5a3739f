// SPDX-License-Identifier: Apache-2.0
// Raw futexes on the wait queues. The key is the word's address plus one: a queue of their own, beside that of a mutex
// or a semaphore that begins with the same word.
//
// Waiting. The word is read under the bucket's lock, between which and the queueing nobody comes, and whoever wakes
// takes that lock after having changed the word: either the waiter sees the change or the waker sees the waiter.
//
// The kernel has queues of its own, under the same addresses, and we do not see all who use them: system calls made
// without libc (a runtime's own assembly), threads of libc's that it hides. Hence
//
//   wait       only here. Nobody else in this process may wake the word but by syscall(), or the wake-up is lost.
//   wake       here first; when that found fewer than asked for, the kernel is asked for the rest. So no waiter is
//              lost, wherever he is, and the sum is what the kernel would say. A lock that wakes one finds him here and
//              makes no system call; to wake all costs the one that it costs natively. Waiters here come first, which
//              no program can rely on: it would have to mix both ways on one word.
//   requeue    the same; the kernel moves its own waiters, to the same word.
//   not private, priority inheriting: always the kernel's, both sides. A word is used with or without the flag; the
//              kernel keeps the two apart as well.
//
// Not private words stay the kernel's even in memory that only this process has, which a look at the page in
// /proc/self/pagemap would tell soundly enough (noting who calls mmap and shmat would not: not all do so by libc). For
// the kernel itself wakes such words, under the key without the flag: the one that a thread's end clears
// (CLONE_CHILD_CLEARTID, the textbook's way to join a clone) and those of robust lists. Nobody can be asked
// which words these are, and a thread that waits for one here would sleep for ever.
//
// Rejected: leaving out the system call when no thread can be waiting in the kernel. Threads that libmn has not met
// cannot be counted, and Ms that run program code may be anywhere. Asking only when the kernel was seen to have waiters
// needs a look at every thread in /proc.
//
// Several words (futex_waitv). The thread queues one waiter, in state kOneOf, on each word, then waits in the usual way
// on its Crowd. A waker that takes such a waiter off claims the crowd; the first claim counts, tells the index and
// wakes. Others go on as if the waiter had not been there. The thread takes its waiters off itself and leaves when no
// waker uses the crowd any more.
//
// Order of locks: two buckets in order of address. Restarting after handlers is as the kernel does it: the wait begins
// anew, with a look at the word, and the deadline stays.
#include "runtime/sync/futex.h"

#include <errno.h>

#include <new>

#include "runtime/os/memory.h"
#include "runtime/sync/interrupt.h"
#include "runtime/sync/usermem.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constinit std::atomic<bool> g_left{false};

constexpr long kLeft = -ENOSYS;  // why not to wait here

const void* key_of(const uint32_t* word) {
  return reinterpret_cast<const char*>(word) + 1;
}

struct Crowd {
  static constexpr int kNone = -1;
  std::atomic<int> woken{kNone};  // index of the waiter that was woken first
  std::atomic<int> visitors{0};   // wakers that have claimed it and may still touch it

  const void* key() const { return reinterpret_cast<const char*>(this) + 3; }
  bool claim(int index) {
    visitors.fetch_add(1, std::memory_order_relaxed);  // the waiter's bucket is locked: its owner comes later
    int none = kNone;
    if (woken.compare_exchange_strong(none, index, std::memory_order_relaxed)) return true;
    leave();
    return false;
  }
  void leave() { visitors.fetch_sub(1, std::memory_order_release); }  // pairs with await_visitors
  void await_visitors() const {
    while (visitors.load(std::memory_order_acquire) != 0) cpu_relax();  // pairs with leave()
  }
};

struct Member : Waiter {
  Crowd* crowd;
  int index;
};

// Who was taken off, to be woken when the buckets are free.
struct Woken {
  Fifo<G, &G::next> gs;
  Fifo<Waiter, &Waiter::next> members;

  int size() const { return static_cast<int>(gs.size() + members.size()); }
  void wake_all() {
    if (gs.size() == 1) ready(gs.pop_front());
    while (G* g = gs.pop_front()) ready(g, Place::kTail);
    while (Waiter* w = members.pop_front()) {
      Crowd* crowd = static_cast<Member*>(w)->crowd;
      wake(crowd->key(), 1, WaitKind::kFutex);
      crowd->leave();
    }
  }
};

// False: it is of a crowd that was woken already.
bool take(Bucket* b, Waiter* w, Woken* woken) {
  if (MN_LIKELY(w->state == WaitState::kQueued)) {
    woken->gs.push_back(take_this_waiter(b, w));
    return true;
  }
  auto* member = static_cast<Member*>(w);
  remove_waiter(b, w);
  w->state = WaitState::kWoken;
  if (!member->crowd->claim(member->index)) return false;
  woken->members.push_back(w);
  return true;
}

int take_some(Bucket* b, const void* key, int count, uint32_t bits, Woken* woken) {
  int n = 0;
  for (Waiter *w = first_waiter(b, key), *next; w != nullptr && n < count; w = next) {
    next = w->next;
    if ((w->bits & bits) != 0 && take(b, w, woken)) ++n;
  }
  return n;
}

class TwoBuckets {
 public:
  TwoBuckets(const void* one, const void* other) : one_(bucket_of(one)), other_(bucket_of(other)) {
    Bucket* low = one_ < other_ ? one_ : other_;
    Bucket* high = one_ < other_ ? other_ : one_;
    low->lock.lock();
    if (low != high) high->lock.lock();
  }
  void unlock() {
    one_->lock.unlock();
    if (one_ != other_) other_->lock.unlock();
  }
  Bucket* one() const { return one_; }
  Bucket* other() const { return other_; }

 private:
  Bucket* one_;
  Bucket* other_;
};

// 0, or why not to wait.
long look(const uint32_t* word, uint32_t value) {
  if (MN_UNLIKELY(ufutex_left_to_kernel())) return kLeft;
  uint32_t found;
  if (!load_word(word, &found)) return -EFAULT;
  return found == value ? 0 : -EAGAIN;
}

long kernel(long op, const uint32_t* word, long value, long timeout = 0, const uint32_t* word2 = nullptr,
            long value3 = 0) {
  return raw_syscall(SYS_futex, sys_arg(word), op | FUTEX_PRIVATE_FLAG, value, timeout, sys_arg(word2), value3);
}

// `ours` and what the kernel found of the rest; its error only when there is nothing else to say.
long sum(long ours, long theirs) {
  return theirs >= 0 ? ours + theirs : ours > 0 ? ours : theirs;
}

long wait_in_kernel(const uint32_t* word, uint32_t value, uint32_t bits, const Deadline& deadline) {
  timespec until = ns_timespec(deadline.at);
  long clock = deadline.clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0;
  return kernel(FUTEX_WAIT_BITSET | clock, word, value, deadline.never() ? 0 : sys_arg(&until), nullptr, bits);
}

long wait_any_in_kernel(const FutexItem* items, unsigned n, const Deadline& deadline) {
  timespec until = ns_timespec(deadline.at);
  return raw_syscall(kSysFutexWaitv, sys_arg(items), n, 0, deadline.never() ? 0 : sys_arg(&until), deadline.clock);
}

uint32_t changed(uint32_t old, const FutexChange& c) {
  switch (c.change) {
    case FutexChange::kSet:
      return c.operand;
    case FutexChange::kAdd:
      return old + c.operand;
    case FutexChange::kOr:
      return old | c.operand;
    case FutexChange::kAndNot:
      return old & ~c.operand;
    default:
      return old ^ c.operand;
  }
}

bool holds(uint32_t old, const FutexChange& c) {
  auto value = static_cast<int32_t>(old);
  switch (c.comparison) {
    case FutexChange::kEqual:
      return value == c.with;
    case FutexChange::kNotEqual:
      return value != c.with;
    case FutexChange::kLess:
      return value < c.with;
    case FutexChange::kLessOrEqual:
      return value <= c.with;
    case FutexChange::kGreater:
      return value > c.with;
    default:
      return value >= c.with;
  }
}

bool apply(uint32_t* word, const FutexChange& c, uint32_t* old) {
  uint32_t expected;
  if (!load_word(word, &expected)) return false;
  while (exchange_word(word, expected, changed(expected, c), old)) {
    if (*old == expected) return true;
    expected = *old;
  }
  return false;
}

// How many were queued: all, or those before one whose word is not as it should be, which `refusal` tells.
unsigned join(Crowd* crowd, Member* members, const FutexItem* items, unsigned n, long* refusal) {
  for (unsigned i = 0; i < n; ++i) {
    Member& m = members[i];
    const auto* word = reinterpret_cast<const uint32_t*>(items[i].word);
    m.key = key_of(word);
    m.g = this_g();
    m.crowd = crowd;
    m.index = static_cast<int>(i);
    Bucket* b = bucket_of(m.key);
    SpinGuard guard(b->lock);
    *refusal = look(word, static_cast<uint32_t>(items[i].value));
    if (*refusal != 0) return i;
    m.state = WaitState::kOneOf;
    append_waiter(b, &m);
  }
  return n;
}

void leave_all(Member* members, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    Bucket* b = lock_bucket_of(&members[i]);
    if (members[i].state == WaitState::kOneOf) remove_waiter(b, &members[i]);
    b->lock.unlock();
  }
}

long wait_in_crowd(Crowd& crowd, Member* members, const FutexItem* items, unsigned n, const FutexWait& how) {
  for (;;) {
    enter();
    Interruption interruption(this_g());
    long refusal = 0;
    int error = 0;
    unsigned joined = join(&crowd, members, items, n, &refusal);
    if (joined == n) {
      error = wait_if(crowd.key(), {how.deadline, nullptr, WaitKind::kFutex},
                      [&] { return crowd.woken.load(std::memory_order_relaxed) == Crowd::kNone; });
    }
    leave_all(members, joined);
    crowd.await_visitors();
    int woken = crowd.woken.load(std::memory_order_relaxed);
    leave();
    if (woken != Crowd::kNone) return woken;
    if (MN_UNLIKELY(refusal == kLeft)) return wait_any_in_kernel(items, n, how.deadline);
    if (refusal != 0) return refusal;
    if (error == ETIMEDOUT && how.deadline.passed()) return -ETIMEDOUT;
    if (error == EINTR && interruption.ends_wait(how.restarts)) return -EINTR;
  }
}

}  // namespace

bool ufutex_left_to_kernel() {
  return g_left.load(std::memory_order_relaxed);
}

long ufutex_wait(const uint32_t* word, uint32_t value, uint32_t bits, const FutexWait& how) {
  for (;;) {
    enter();
    Interruption interruption(this_g());
    long refusal = 0;
    int error = wait_if(key_of(word), {how.deadline, nullptr, WaitKind::kFutex, bits}, [&] {
      refusal = look(word, value);
      return refusal == 0;
    });
    leave();
    if (MN_UNLIKELY(refusal == kLeft)) return wait_in_kernel(word, value, bits, how.deadline);
    if (refusal != 0 || error == 0) return refusal;
    if (error == ETIMEDOUT && how.deadline.passed()) return -ETIMEDOUT;
    if (error == EINTR && interruption.ends_wait(how.restarts)) return -EINTR;
  }
}

long ufutex_wake(const uint32_t* word, int count, uint32_t bits) {
  int n = 0;
  if (MN_LIKELY(!ufutex_left_to_kernel())) {
    enter();
    Woken woken;
    Bucket* b = bucket_of(key_of(word));
    b->lock.lock();
    n = take_some(b, key_of(word), count, bits, &woken);
    b->lock.unlock();
    woken.wake_all();
    leave();
    if (n == count) return n;
  }
  return sum(n, kernel(FUTEX_WAKE_BITSET, word, count - n, 0, nullptr, bits));
}

long ufutex_requeue(const uint32_t* word, const uint32_t* to, int wakes, int moves, const uint32_t* expected) {
  int woken_here = 0, moved = 0;
  if (MN_LIKELY(!ufutex_left_to_kernel())) {
    const void *from_key = key_of(word), *to_key = key_of(to);
    Woken woken;
    enter();
    TwoBuckets buckets(from_key, to_key);
    long refusal = expected != nullptr ? look(word, *expected) : 0;
    if (refusal == 0) {
      woken_here = take_some(buckets.one(), from_key, wakes, ~0u, &woken);
      Waiter* w = woken_here == wakes ? first_waiter(buckets.one(), from_key) : nullptr;
      for (Waiter* next; w != nullptr && moved < moves; w = next, ++moved) {
        next = w->next;
        if (from_key != to_key) move_waiter(buckets.one(), w, buckets.other(), to_key);
      }
    }
    buckets.unlock();
    woken.wake_all();
    leave();
    if (refusal != 0 && refusal != kLeft) return refusal;
  }
  if (woken_here == wakes && moved == moves && moved + woken_here != 0) return woken_here + moved;
  long op = expected != nullptr ? FUTEX_CMP_REQUEUE : FUTEX_REQUEUE;
  return sum(woken_here + moved,
             kernel(op, word, wakes - woken_here, moves - moved, to, expected != nullptr ? *expected : 0));
}

long ufutex_wake_op(const uint32_t* word, int count, uint32_t* other, int other_count, const FutexChange& c) {
  Woken woken;
  enter();
  TwoBuckets buckets(key_of(word), key_of(other));
  uint32_t old = 0;
  bool there = apply(other, c, &old);
  bool also = there && holds(old, c);
  int n = there ? take_some(buckets.one(), key_of(word), count, ~0u, &woken) : 0;
  int also_n = also ? take_some(buckets.other(), key_of(other), other_count, ~0u, &woken) : 0;
  buckets.unlock();
  woken.wake_all();
  leave();
  if (!there) return -EFAULT;
  long total = n + also_n;
  if (n < count) total = sum(total, kernel(FUTEX_WAKE, word, count - n));
  if (also && also_n < other_count) total = sum(total, kernel(FUTEX_WAKE, other, other_count - also_n));
  return total;
}

long ufutex_wait_any(const FutexItem* items, unsigned n, const FutexWait& how) {
  constexpr unsigned kOnStack = 8;  // stacks may be small
  Crowd crowd;
  if (n <= kOnStack) {
    Member members[kOnStack];
    return wait_in_crowd(crowd, members, items, n, how);
  }
  void* memory = map_memory(n * sizeof(Member));
  if (memory == nullptr) return -ENOMEM;
  auto* members = static_cast<Member*>(memory);
  for (unsigned i = 0; i < n; ++i) new (&members[i]) Member;
  long result = wait_in_crowd(crowd, members, items, n, how);
  unmap_memory(memory, n * sizeof(Member));
  return result;
}

void ufutex_leave_to_kernel() {
  if (g_left.exchange(true, std::memory_order_relaxed)) return;
  enter();
  wake_where([](const void* key) { return (reinterpret_cast<uintptr_t>(key) & 1) != 0; });
  leave();
}

}  // namespace mn
