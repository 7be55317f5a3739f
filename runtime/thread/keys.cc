// SPDX-License-Identifier: Apache-2.0
// Thread-specific data. libc's pthread_getspecific and pthread_setspecific work on a G as they are, for the values lie
// in its TCB; but libc runs the destructors of threads that it ends itself only, so the destructors are kept here too.
#include <limits.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/thread/thread.h"

namespace mn {
namespace {

// Null: no such key, or one without a destructor.
constinit std::atomic<void (*)(void*)> g_destructors[PTHREAD_KEYS_MAX];
constinit std::atomic<unsigned> g_high{0};  // keys at or above have never had one

}  // namespace

int key_create(pthread_key_t* key, void (*destructor)(void*)) {
  int error = real.pthread_key_create(key, destructor);
  if (error != 0) return error;
  // Release: pairs with the acquire in run_key_destructors.
  g_destructors[*key].store(destructor, std::memory_order_release);
  unsigned high = g_high.load(std::memory_order_relaxed);
  while (destructor != nullptr && high <= *key &&
         !g_high.compare_exchange_weak(high, *key + 1, std::memory_order_relaxed)) {
  }
  return 0;
}

int key_delete(pthread_key_t key) {
  if (key < PTHREAD_KEYS_MAX) g_destructors[key].store(nullptr, std::memory_order_relaxed);
  return real.pthread_key_delete(key);
}

void run_key_destructors() {
  if (!tcb_self_has_specific()) return;
  for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS; ++round) {
    bool any = false;
    unsigned high = g_high.load(std::memory_order_relaxed);
    for (pthread_key_t key = 0; key < high; ++key) {
      auto* destructor = g_destructors[key].load(std::memory_order_acquire);  // Acquire: pairs with key_create.
      if (destructor == nullptr) continue;
      void* value = real.pthread_getspecific(key);
      if (value == nullptr) continue;
      real.pthread_setspecific(key, nullptr);
      any = true;
      destructor(value);
    }
    if (!any) return;
  }
}

}  // namespace mn
