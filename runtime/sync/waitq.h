// SPDX-License-Identifier: Apache-2.0
// The one mechanism that parks a thread: queues of waiters, found by the address they wait on, as futex(2) does it.
//
// An address hashes to one of 2^16 buckets. A bucket holds a list of queues, one per address; a queue is the chain of
// its waiters in order of arrival, and the oldest waiter is its head (threads of a real-time priority go before). All
// of it lies on the waiters' stacks.
//
// States of a Waiter, written under its bucket's lock only:
//   kFresh   not queued yet             -> kQueued (enqueue), kTimedOut (its timer was faster)
//   kQueued  in a queue                 -> kWoken, kTimedOut, kInterrupted, each by whoever takes it off the queue
//   kOneOf   in a queue, one of several of its thread, which waits elsewhere (futex_waitv) -> kWoken
//   kAway    in a queue, while its thread runs a signal handler (member.h) -> kWoken, kQueued
//   others   final; the G is, or is being made, runnable, and the waiter may vanish
//
// Interruption. Whoever finds that a thread that waits has something to look up (must_look_up: a signal that it does
// not block, a cancellation that it has not disabled) ends the wait, under the bucket's lock: interrupt_wait(), and
// commit_wait() for what arrived while the thread was being switched out. The lock and the look together make
// sure that it is this wait that ends: a waker was not faster, and a thread that has looked meanwhile, and waits for
// something else by now, or another thread that has its slot, has nothing to look up.
//
// A queued waiter may be moved to another key, with the buckets of both locked, lower address first. To reach
// a waiter other than through its queue, lock the bucket of its key, then check the key again.
//
// wait() holds the bucket's lock from the moment the condition is checked until the G's stack is free: the lock is
// released by the commit function, on the next G's stack. A waker that gets the lock thus finds either no waiter or one
// that can be made runnable. (A wired G releases the lock and then sleeps on its note, which remembers.)
//
// Order of locks: timer heap, then bucket. The timer is therefore armed before the bucket is locked and may fire in
// between; kFresh is there for that.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/clock.h"
#include "runtime/sched/sched.h"

namespace mn {

enum class WaitState : uint8_t { kFresh, kQueued, kOneOf, kWoken, kTimedOut, kInterrupted, kAway };

// Of what kind the thing is that a thread waits for, for observers; `key` says which one.
enum class WaitKind : uint8_t {
  kOther,
  kMutex,
  kCond,
  kRead,   // a reader-writer lock, to read
  kWrite,  // or to write; the key is that of the lock plus 4
  kSem,
  kBarrier,
  kOnce,
  kJoin,   // the key is &G::life of the other
  kSleep,  // the key says nothing
  kFutex,
  kDescriptor,
};
constexpr int kWaitKinds = static_cast<int>(WaitKind::kDescriptor) + 1;
static_assert(kWaitKinds <= kMostWaitKinds);

// Whether a waiter stays in the queue while its thread runs handlers (member.h), kAway and not kInterrupted: until it
// is cancelled, or whatever comes.
enum class Stays : uint8_t { kNo, kUntilCancelled, kAlways };

struct Waiter {
  const void* key = nullptr;
  G* g = nullptr;
  uint32_t* counter = nullptr;  // decremented when it leaves the queue unwoken; guarded by the bucket's lock
  uint32_t bits = ~0u;          // what it waits for, to the primitive's taste
  WaitState state = WaitState::kFresh;
  WaitKind kind = WaitKind::kOther;
  Stays stays = Stays::kNo;
  int64_t since = 0;       // Sched::coarse_now
  Waiter* next = nullptr;  // in its queue
  Waiter* prev = nullptr;
  Waiter* tail = nullptr;        // of its queue, while it is the head
  Waiter* next_queue = nullptr;  // in its bucket, while it is the head
  Timer timer;
};

struct Bucket {
  SpinLock lock;
  Waiter* queues = nullptr;
};

constexpr int kWaitBucketBits = 16;
constexpr int kWaitBuckets = 1 << kWaitBucketBits;
extern Bucket wait_buckets[kWaitBuckets];
Bucket* bucket_of(const void* key);
// Locked; of a waiter that is not locked yet and may be moved at any time.
Bucket* lock_bucket_of(Waiter* w);

// All with the bucket's lock held.
inline Waiter* first_waiter(Bucket* b, const void* key) {
  Waiter* w = b->queues;
  while (w != nullptr && w->key != key) w = w->next_queue;
  return w;
}
// The next that is parked, from w on.
Waiter* next_parked(Waiter* w);
void remove_waiter(Bucket* b, Waiter* w);
void append_waiter(Bucket* b, Waiter* w);
// Takes one that is parked off and marks it woken; the caller readies its G.
inline G* take_this_waiter(Bucket* b, Waiter* w) {
  remove_waiter(b, w);
  w->state = WaitState::kWoken;
  w->g->waiter = nullptr;
  return w->g;
}
// The same of the oldest that is parked. Null: nobody is.
inline G* take_waiter(Bucket* b, const void* key) {
  Waiter* w = first_waiter(b, key);
  if (w != nullptr && MN_UNLIKELY(w->state == WaitState::kAway)) w = next_parked(w);
  return w != nullptr ? take_this_waiter(b, w) : nullptr;
}
// The same of a queue with members (member.h): if nobody is parked, one that is away, and *parked is null. False:
// nobody waits.
inline bool take_member(Bucket* b, const void* key, G** parked) {
  Waiter* first = first_waiter(b, key);
  *parked = nullptr;
  if (first == nullptr) return false;
  Waiter* w = MN_LIKELY(first->state != WaitState::kAway) ? first : next_parked(first);
  if (MN_LIKELY(w != nullptr)) {
    *parked = take_this_waiter(b, w);
    return true;
  }
  remove_waiter(b, first);
  first->state = WaitState::kWoken;
  return true;
}
// To the end of another queue; both buckets are locked.
void move_waiter(Bucket* from, Waiter* w, Bucket* to, const void* key);
// `heir` takes the place of w, as a copy of it.
void replace_waiter(Bucket* b, Waiter* w, Waiter* heir);
// Takes w off its queue and gives it a final state.
void finish_wait(Bucket* b, Waiter* w, WaitState state);
void drop_counter(uint32_t* counter);  // null: it has none

// A cancellation of g has come that it has not noticed in a wait, and is enabled.
bool cancel_wanted(const G* g);

struct Away;

struct WaitOptions {
  Deadline deadline{};
  uint32_t* counter = nullptr;
  WaitKind kind = WaitKind::kOther;
  uint32_t bits = ~0u;
  Stays stays = Stays::kNo;
  Away* back = nullptr;  // of a member that was away: what stood in the queue for it
};

// before(arg) runs under the bucket's lock just before the thread is queued; false: do not wait (EAGAIN). It may set
// `after`, which runs once the lock is released, on the next thread's stack: `after_arg` must not point into the
// waiter's.
struct WaitHooks {
  bool (*before)(void* arg) = nullptr;
  void* arg = nullptr;
  void (*after)(void* arg) = nullptr;
  void* after_arg = nullptr;
};

// Inside. Returns 0 (woken), EAGAIN (before() said no), ETIMEDOUT, or EINTR: a signal handler wants to run, which
// leave() does, or the thread was cancelled and has not disabled that. Who cannot end with EINTR waits again.
// kWentAway: a handler wants to run in the midst of the wait, for which this_g()->away stands in the queue.
constexpr int kWentAway = -1;
int wait_on(const void* key, const WaitOptions& how, WaitHooks& hooks);

template <class Check>
int wait_if(const void* key, const WaitOptions& how, Check check) {
  WaitHooks hooks{[](void* c) { return (*static_cast<Check*>(c))(); }, &check};
  return wait_on(key, how, hooks);
}

// Inside. Wakes up to `count` waiters of this kind in order of arrival; returns how many. What was at the address may
// be gone, and something else be there that others wait for.
int wake(const void* key, int count, WaitKind kind);

// Inside. The same for one, which the caller makes runnable; null: nobody waits.
G* unpark(const void* key);

// Inside. Wakes everybody whose key fits.
void wake_where(bool (*fits)(const void* key));

// Inside. Ends g's present wait with EINTR if there is one and g has something to look up.
bool interrupt_wait(G* g);

// Inside. A G that waits now and fits; null: none. It may have stopped waiting on return.
G* find_waiting(bool (*fits)(const G* g, const void* arg), const void* arg);

// What g waits for now; false: nothing, or its bucket's lock could not be had for long. With the lock held, look(g,
// arg) is called: g cannot be woken meanwhile, so that its saved context and its stack stay as they are (but a wired
// G's, which sleeps in the kernel).
struct WaitRecord {
  const void* key = nullptr;
  WaitKind kind = WaitKind::kOther;
  int64_t since = 0, until = 0;  // CLOCK_MONOTONIC, ns; until 0: no deadline, or not known
};
bool look_at_wait(const G* g, WaitRecord* record, void (*look)(const G* g, void* arg), void* arg);

void waitq_reset_after_fork();

}  // namespace mn
