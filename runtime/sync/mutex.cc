// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/mutex.h"

#include <errno.h>

#include "runtime/os/real.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr int kSpins = 60;

// Not the TCB's, which changes when a thread is wired.
int self_tid() {
  G* g = this_g();
  return static_cast<int>(MN_LIKELY(g != nullptr) ? g->tid : adopt_thread()->tid);
}
int type_of(const pthread_mutex_t* m) {
  return m->__data.__kind & 3;
}

std::atomic_ref<int> word(pthread_mutex_t* m) {
  return std::atomic_ref<int>(m->__data.__lock);
}

bool try_take(pthread_mutex_t* m) {
  int free = 0;
  // Acquire: pairs with the release in release().
  return word(m).compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed);
}

void set_owner(pthread_mutex_t* m, int tid) {
  m->__data.__owner = tid;
  ++m->__data.__nusers;
}

// True: somebody waits.
bool release(pthread_mutex_t* m) {
  m->__data.__owner = 0;
  // Release: pairs with the acquire of the next holder.
  return word(m).exchange(0, std::memory_order_release) == 2;
}

MN_NOINLINE int take_slow(pthread_mutex_t* m, const Deadline& deadline) {
  if (sched.nprocs > 1) {
    for (int i = 0; i < kSpins; ++i) {
      if (word(m).load(std::memory_order_relaxed) == 0 && try_take(m)) return 0;
      cpu_relax();
    }
  }
  WaitOptions options{deadline, nullptr, WaitKind::kMutex};
  for (;;) {
    // Acquire: pairs with release(). 2, because we cannot know whether others wait too.
    if (word(m).exchange(2, std::memory_order_acquire) == 0) return 0;
    enter();
    int error = wait_if(&m->__data.__lock, options, [&] { return word(m).load(std::memory_order_relaxed) == 2; });
    leave();
    if (error == ETIMEDOUT && deadline.passed()) return ETIMEDOUT;
  }
}

// The answer for a mutex that the caller holds already; -1: go on and wait.
int relock(pthread_mutex_t* m) {
  int type = type_of(m);
  if (type == PTHREAD_MUTEX_RECURSIVE_NP) {
    if (m->__data.__count + 1 == 0) return EAGAIN;
    ++m->__data.__count;
    return 0;
  }
  return type == PTHREAD_MUTEX_ERRORCHECK_NP ? EDEADLK : -1;
}

}  // namespace

MN_PREEMPTIBLE int mutex_lock(pthread_mutex_t* m) {
  int tid = self_tid();
  if (MN_UNLIKELY(!try_take(m))) {
    if (m->__data.__owner == tid)
      if (int answer = relock(m); answer >= 0) return answer;
    take_slow(m, Deadline{});
  }
  set_owner(m, tid);
  if (type_of(m) == PTHREAD_MUTEX_RECURSIVE_NP) m->__data.__count = 1;
  return 0;
}

MN_PREEMPTIBLE int mutex_trylock(pthread_mutex_t* m) {
  int tid = self_tid();
  if (!try_take(m)) {
    if (m->__data.__owner == tid && type_of(m) == PTHREAD_MUTEX_RECURSIVE_NP) return relock(m);
    return EBUSY;
  }
  set_owner(m, tid);
  if (type_of(m) == PTHREAD_MUTEX_RECURSIVE_NP) m->__data.__count = 1;
  return 0;
}

int mutex_timedlock(pthread_mutex_t* m, clockid_t clock, const timespec* abstime) {
  int tid = self_tid();
  if (!try_take(m)) {
    if (m->__data.__owner == tid)
      if (int answer = relock(m); answer >= 0) return answer;
    if (!valid_timespec(*abstime)) return EINVAL;
    if (int error = take_slow(m, Deadline{clock, timespec_ns(*abstime)})) return error;
  }
  set_owner(m, tid);
  if (type_of(m) == PTHREAD_MUTEX_RECURSIVE_NP) m->__data.__count = 1;
  return 0;
}

void mutex_wake_one(pthread_mutex_t* m) {
  wake(&m->__data.__lock, 1, WaitKind::kMutex);
}

MN_PREEMPTIBLE int mutex_unlock(pthread_mutex_t* m) {
  int type = type_of(m);
  if (type == PTHREAD_MUTEX_RECURSIVE_NP || type == PTHREAD_MUTEX_ERRORCHECK_NP) {
    if (m->__data.__owner != self_tid() || m->__data.__lock == 0) return EPERM;
    if (type == PTHREAD_MUTEX_RECURSIVE_NP && --m->__data.__count != 0) return 0;
  }
  --m->__data.__nusers;
  if (MN_UNLIKELY(release(m))) {
    enter();
    mutex_wake_one(m);
    leave();
  }
  return 0;
}

int mutex_destroy(pthread_mutex_t* m) {
  if (m->__data.__nusers != 0) return EBUSY;
  m->__data.__kind = -1;
  return 0;
}

bool mutex_is_anothers(const pthread_mutex_t* m) {
  int type = type_of(m);
  bool knows = type == PTHREAD_MUTEX_RECURSIVE_NP || type == PTHREAD_MUTEX_ERRORCHECK_NP;
  return MN_UNLIKELY(knows) && !mutex_is_libcs(m) && m->__data.__owner != self_tid();
}

int mutex_release_for_wait(pthread_mutex_t* m, unsigned* depth, bool* wake_one) {
  if (mutex_is_libcs(m)) return real.pthread_mutex_unlock(m);
  int type = type_of(m);
  if ((type == PTHREAD_MUTEX_RECURSIVE_NP || type == PTHREAD_MUTEX_ERRORCHECK_NP) && m->__data.__owner != self_tid())
    return EPERM;
  *depth = m->__data.__count;
  m->__data.__count = 0;
  *wake_one = release(m);
  return 0;
}

int mutex_reacquire(pthread_mutex_t* m, unsigned depth) {
  if (mutex_is_libcs(m)) return real.pthread_mutex_lock(m);
  if (!try_take(m)) take_slow(m, Deadline{});
  m->__data.__owner = self_tid();
  m->__data.__count = depth;
  return 0;
}

}  // namespace mn
