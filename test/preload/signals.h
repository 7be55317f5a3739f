// SPDX-License-Identifier: Apache-2.0
// Sets of signals, handlers that count, and a fixture that resets the counts.
#ifndef TEST_PRELOAD_SIGNALS_H_
#define TEST_PRELOAD_SIGNALS_H_

#include <initializer_list>

#include "util.h"

namespace test {

inline sigset_t Set(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

inline bool IsBlocked(int signal) {
  sigset_t now;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &now), 0);
  return sigismember(&now, signal) == 1;
}

// pthread_sigmask with one signal.
inline void Mask(int how, int signal) {
  const sigset_t set = Set({signal});
  EXPECT_EQ(pthread_sigmask(how, &set, nullptr), 0);
}

// Installs a handler for its life.
class Handler {
 public:
  Handler(int signal, void (*handler)(int), int flags = SA_RESTART) : signal_(signal) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    EXPECT_EQ(sigaction(signal, &action, &old_), 0);
  }
  ~Handler() { EXPECT_EQ(sigaction(signal_, &old_, nullptr), 0); }

 private:
  int signal_;
  struct sigaction old_;
};

inline thread_local volatile sig_atomic_t handled_here;
inline std::atomic<int> handled;
inline std::atomic<pthread_t> handled_by;

inline void Count(int) {
  handled_here = handled_here + 1;
  handled_by = pthread_self();
  ++handled;
}

class Signal : public testing::Test {
 protected:
  void SetUp() override {
    handled = 0;
    handled_here = 0;
  }
};

}  // namespace test

#endif  // TEST_PRELOAD_SIGNALS_H_
