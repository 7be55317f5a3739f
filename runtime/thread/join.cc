// SPDX-License-Identifier: Apache-2.0
// Joining and detaching. A joiner claims the thread by putting itself into G::joiner, then waits on &G::life until the
// successor of the dead thread has set kDead. Who makes it both detached and dead, or reaped,
// frees the slot.
#include <errno.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {

int thread_join(pthread_t t, void** result, const Deadline& deadline, bool try_only) {
  G* g = thread_g(t);
  G* self = self_g();
  uint32_t life = g->life.load(std::memory_order_relaxed);
  if ((life & kReaped) != 0) return ESRCH;
  if (try_only && (life & kDead) == 0) return EBUSY;  // as glibc: before it asks whether it is detached
  if ((life & kDetached) != 0) return EINVAL;
  if (g == self || self->joiner.load(std::memory_order_relaxed) == g) return EDEADLK;
  bool claimed = false, taken = false;
  do {
    cancel_hold();
    enter();
    // G::joiner and G::life are written under the bucket's lock, which the check holds.
    int error = wait_if(&g->life, {deadline, nullptr, WaitKind::kJoin}, [&] {
      if (!claimed) taken = g->joiner.load(std::memory_order_relaxed) != nullptr;
      if (taken) return false;
      claimed = true;
      g->joiner.store(self, std::memory_order_relaxed);
      return (g->life.load(std::memory_order_relaxed) & kDead) == 0;
    });
    leave();
    if (taken) {
      cancel_release();
      return EINVAL;
    }
    bool over = error == ETIMEDOUT && deadline.passed();
    if (over || error == EINTR) {
      g->joiner.store(nullptr, std::memory_order_relaxed);
      claimed = false;
    }
    if (over || !claimed) cancel_release();
    if (over) return ETIMEDOUT;
    if (error == EINTR) cancellation_point();
    // Acquire: pairs with the release of kDead in end.cc.
  } while (!claimed || (g->life.load(std::memory_order_acquire) & kDead) == 0);
  if (MN_UNLIKELY(g->kernels_word.word.load(std::memory_order_relaxed) != 0)) await_kernels_word(g);
  if (result != nullptr) *result = g->result;
  g->life.store(kDead | kReaped, std::memory_order_relaxed);  // nobody else has a right to it
  if (g->slot != nullptr) {
    enter();
    gpool_put(g);
    leave();
  }
  cancel_release();
  return 0;
}

int thread_detach(pthread_t t) {
  G* g = thread_g(t);
  self_g();
  enter();
  Bucket* b = bucket_of(&g->life);
  b->lock.lock();
  uint32_t life = g->life.load(std::memory_order_relaxed);
  int error = 0;
  if ((life & kReaped) != 0)
    error = ESRCH;
  else if ((life & kDetached) != 0 || g->joiner.load(std::memory_order_relaxed) != nullptr)
    error = EINVAL;
  else
    g->life.store(life | kDetached, std::memory_order_relaxed);
  b->lock.unlock();
  if (error == 0 && (life & kDead) != 0 && g->slot != nullptr) gpool_put(g);
  leave();
  return error;
}

}  // namespace mn
