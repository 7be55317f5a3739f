// SPDX-License-Identifier: Apache-2.0
#include "runtime/sync/once.h"

#include "runtime/sync/guard.h"
#include "runtime/sync/waitq.h"

namespace mn {
namespace {

constexpr int kRunning = 1, kDone = 2, kGeneration = 4;

constinit std::atomic<int> g_generation{kGeneration};

std::atomic_ref<int> word(pthread_once_t* control) {
  return std::atomic_ref<int>(*control);
}

void finish(pthread_once_t* control, int value) {
  // Release: pairs with the acquire loads in once().
  word(control).store(value, std::memory_order_release);
  enter();
  wake(control, INT_MAX, WaitKind::kOnce);
  leave();
}

}  // namespace

void once(pthread_once_t* control, void (*init)()) {
  for (;;) {
    int seen = word(control).load(std::memory_order_acquire);  // Acquire: pairs with finish().
    if (seen == kDone) return;
    int running = g_generation.load(std::memory_order_relaxed) | kRunning;
    if (seen == running) {
      enter();
      wait_if(control, {.kind = WaitKind::kOnce},
              [&] { return word(control).load(std::memory_order_relaxed) == running; });
      leave();
      continue;
    }
    // Acquire: pairs with finish() of a run that was undone.
    if (!word(control).compare_exchange_strong(seen, running, std::memory_order_acquire)) continue;
    // An exception or a cancellation in init leaves the control as if nobody had called.
    call_guarded([](void* f) { reinterpret_cast<void (*)()>(f)(); }, reinterpret_cast<void*>(init),
                 [](void* c) { finish(static_cast<pthread_once_t*>(c), 0); }, control);
    return finish(control, kDone);
  }
}

void once_reset_after_fork() {
  g_generation.fetch_add(kGeneration, std::memory_order_relaxed);
}

}  // namespace mn
