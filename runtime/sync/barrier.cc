// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/barrier.h"

#include <errno.h>

#include "runtime/sync/member.h"

namespace mn {

int barrier_wait(pthread_barrier_t* barrier) {
  auto* b = reinterpret_cast<BarrierLayout*>(barrier);
  Fifo<G, &G::next> woken;
  bool last = false, counted = false;
  unsigned round = 0;
  auto arrive = [&] {
    if (counted) return b->current_round == round;
    counted = true;
    round = b->current_round;
    if (++b->in != b->count) return true;
    last = true;
    b->in = 0;
    ++b->current_round;
    Bucket* bucket = bucket_of(b);
    while (take_member(bucket, b, &woken)) {
    }
    return false;
  };
  WaitHooks hooks{[](void* a) { return (*static_cast<decltype(arrive)*>(a))(); }, &arrive};
  WaitOptions how{.kind = WaitKind::kBarrier, .cancels = false};
  enter();
  // EINTR: there was no memory to stay in the queue.
  while (wait_as_member(
             b, how, hooks, [](void*) {}, nullptr) == EINTR) {
    leave();
    enter();
  }
  while (G* g = woken.pop_front()) ready(g, Place::kTail);
  leave();
  return last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

}  // namespace mn
