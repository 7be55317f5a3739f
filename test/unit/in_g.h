// SPDX-License-Identifier: Apache-2.0
// Runs a function as a G, on its stack and with its TLS, by bare context switches: the caller waits, no scheduler runs.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "runtime/arch/context.h"
#include "runtime/init/init.h"
#include "runtime/os/libc_state.h"
#include "runtime/os/real.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/gpool.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"
#include "sanitize.h"

namespace test {

inline void Put(mn::G* g) {
  mn::enter();
  mn::gpool_put(g);
  mn::leave();
}

// The function must leave nothing behind that the G's end would have to destroy, and must call neither gtest nor libmn.
inline void RunIn(mn::G* g, std::function<void()> function) {
  struct Call {
    mn::Context home;
    mn::G* g;
    void* tp;
    std::function<void()>* function;
  } call{{}, g, mn::thread_pointer(), &function};
  const mn::StackRange stack = mn::gpool_stack(g);
  MakeFresh(stack.low, stack.bytes);
  mn::context_make(
      &g->ctx, stack.low, stack.bytes,
      [](void* arg) {
        auto* c = static_cast<Call*>(arg);
        (*c->function)();
        mn::context_switch(&c->g->ctx, &c->home, c->tp);
        test::NeverResumed();
      },
      &call);
  mn::context_switch(&call.home, &g->ctx, g->tp);
}

// As the creator does: on a thread of libc's, what libc keeps for a thread is found out.
inline void LearnInAThreadOfLibcs() {
  pthread_t thread;
  ASSERT_EQ(mn::real.pthread_create(
                &thread, nullptr,
                [](void* arg) -> void* {
                  mn::tcb_find_stackblock();
                  mn::libc_state_learn(mn::tcb_layout.stackblock);
                  return arg;
                },
                nullptr),
            0);
  ASSERT_EQ(mn::real.pthread_join(thread, nullptr), 0);
}

// Tests that need a pool: the runtime is on, and each test has a class of slots to itself.
class PoolTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(mn::on());
    LearnInAThreadOfLibcs();
  }

  static size_t FreshStackSize() {
    static size_t next = 64 * 1024;
    return next += 4096;
  }
  mn::G* Get() { return mn::gpool_get(stack_size_, 4096, nullptr); }

  size_t stack_size_ = FreshStackSize();
};

}  // namespace test
