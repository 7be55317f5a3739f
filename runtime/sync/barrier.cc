// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/barrier.h"

#include <errno.h>

#include "runtime/sync/waitq.h"

namespace mn {

int barrier_wait(pthread_barrier_t* barrier) {
  auto* b = reinterpret_cast<BarrierLayout*>(barrier);
  Fifo<G, &G::next> woken;
  bool last = false;
  enter();
  unsigned round = 0;
  int result = wait_if(b, {.kind = WaitKind::kBarrier}, [&] {
    round = b->current_round;
    if (++b->in != b->count) return true;
    last = true;
    b->in = 0;
    ++b->current_round;
    Bucket* bucket = bucket_of(b);
    while (G* g = take_waiter(bucket, b)) woken.push_back(g);
    return false;
  });
  while (result == EINTR) {  // a signal: run its handler and rejoin the round, if that is not over
    leave();
    enter();
    result = wait_if(b, {.kind = WaitKind::kBarrier}, [&] { return b->current_round == round; });
  }
  while (G* g = woken.pop_front()) ready(g, Place::kTail);
  leave();
  return last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

}  // namespace mn
