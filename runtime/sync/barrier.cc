// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/barrier.h"

#include <errno.h>

#include "runtime/sync/member.h"

namespace mn {

int barrier_wait(pthread_barrier_t* barrier) {
  struct Arrival {
    BarrierLayout* b;
    Fifo<G, &G::next> woken{};
    unsigned round = 0;
    bool last = false;

    bool waits() {
      round = b->current_round;
      if (++b->in != b->count) return true;
      last = true;
      b->in = 0;
      ++b->current_round;
      Bucket* bucket = bucket_of(b);
      for (G* g; take_member(bucket, b, &g);)
        if (g != nullptr) woken.push_back(g);
      return false;
    }
  } a{reinterpret_cast<BarrierLayout*>(barrier)};
  WaitHooks hooks{[](void* arrival) { return static_cast<Arrival*>(arrival)->waits(); }, &a};
  WaitOptions how{.kind = WaitKind::kBarrier, .stays = Stays::kAlways};
  enter();
  auto undo = [](void*) {};
  int result = wait_as_member(a.b, how, hooks, {undo, nullptr});
  while (MN_UNLIKELY(result == EINTR)) {  // there was no memory to stay in the queue
    leave();
    enter();
    result = wait_if(a.b, {.kind = WaitKind::kBarrier}, [&a] { return a.b->current_round == a.round; });
  }
  while (G* g = a.woken.pop_front()) ready(g, Place::kTail);
  leave();
  return a.last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

}  // namespace mn
