// SPDX-License-Identifier: Apache-2.0
// Joining and detaching. A joiner claims the thread by putting itself into G::joiner, then waits on &G::life until the
// successor of the dead thread has set kDead. Whoever makes it both detached and dead, or reaped, frees the slot.
//
// The claim holds while a signal handler of the joiner runs: nobody else may join or detach the thread meanwhile, or
// the joiner would look at another's slot. It is withdrawn when the joiner is cancelled, or left by other unwinding.
#include <errno.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sync/guard.h"
#include "runtime/sync/waitq.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/end.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/wire.h"

namespace mn {

namespace {

struct Join {
  G* g;
  G* self;
  const Deadline& deadline;
  bool claimed = false;
  int error = 0;  // EINTR: it is not over

  // Inside before and after. G::joiner is written under the bucket's lock.
  void await() {
    error = wait_if(&g->life, {deadline, nullptr, WaitKind::kJoin}, [this] { return claim() && !ended(g); });
    if (!claimed)
      error = EINVAL;
    else if (error == EAGAIN)
      error = 0;
    else if (error == ETIMEDOUT && !deadline.passed())
      error = EINTR;
  }
  // False: somebody else has.
  bool claim() {
    if (!claimed && g->joiner.load(std::memory_order_relaxed) != nullptr) return false;
    claimed = true;
    g->joiner.store(self, std::memory_order_relaxed);
    return true;
  }
  // Inside.
  void withdraw() {
    SpinGuard guard(bucket_of(&g->life)->lock);
    g->joiner.store(nullptr, std::memory_order_relaxed);
  }
};

// Inside before and after; left by unwinding outside.
void go_on(void* arg) {
  auto* join = static_cast<Join*>(arg);
  while (join->error == EINTR) {
    leave();
    cancellation_point();
    enter();
    join->await();
  }
}

void give_up(void* arg) {
  cancel_unwound();
  enter();
  static_cast<Join*>(arg)->withdraw();
  leave();
}

MN_NOINLINE void go_on_guarded(Join* join) {
  call_guarded(go_on, join, give_up, join);
}

bool cancelled_and_enabled(const G* g) {
  return g->cancelled.load(std::memory_order_relaxed) && !tcb_cancel_disabled(g->tp);
}

// As glibc: not if the other has been told to end, nor if the caller has, which its wait will find.
bool would_deadlock(G* g, G* self) {
  bool circle = g == self || (self->joiner.load(std::memory_order_relaxed) == g &&
                              !g->cancelled.load(std::memory_order_relaxed) && !ended(g));
  return circle && !cancelled_and_enabled(self);
}

}  // namespace

int thread_join(pthread_t t, void** result, const Deadline& deadline, bool try_only) {
  G* g = thread_g(t);
  G* self = self_g();
  uint32_t life = g->life.load(std::memory_order_relaxed);
  if ((life & kReaped) != 0) return ESRCH;
  if (try_only && (life & kDead) == 0) return EBUSY;  // as glibc: before it asks whether it is detached
  if ((life & kDetached) != 0) return EINVAL;
  if (would_deadlock(g, self)) return EDEADLK;
  // As glibc: it is one where it has to wait.
  if ((life & kDead) == 0 && MN_UNLIKELY(self->cancelled.load(std::memory_order_relaxed))) cancellation_point();
  Join join{g, self, deadline};
  cancel_hold();
  enter();
  join.await();
  if (MN_UNLIKELY(join.error == EINTR)) go_on_guarded(&join);
  if (join.error == 0) {
    // Acquire: pairs with the release of kDead in end.cc.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (MN_UNLIKELY(g->kernels_word.word.load(std::memory_order_relaxed) != 0)) {
      leave();
      await_kernels_word(g);
      enter();
    }
    void* value = g->result;
    g->life.store(kDead | kReaped, std::memory_order_relaxed);  // nobody else has a right to it
    give_slot(g);
    leave();
    if (result != nullptr) *result = value;
  } else {
    if (join.error == ETIMEDOUT) join.withdraw();
    leave();
  }
  cancel_release();
  return join.error;
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
  if (error == 0 && (life & kDead) != 0) give_slot(g);
  leave();
  return error;
}

}  // namespace mn
