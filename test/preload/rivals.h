// SPDX-License-Identifier: Apache-2.0
// Threads that compute against each other: more than there are processors, and none of them waits or yields, so that
// each runs only if the others are stopped for it.
#ifndef TEST_PRELOAD_RIVALS_H_
#define TEST_PRELOAD_RIVALS_H_

#include <vector>

#include "util.h"

namespace test {

inline constexpr int kRivals = 12;

// For as long as a hundredth of a turn or so, without a call.
inline void ComputeABit() {
  for (int i = 0; i < 100'000; ++i) __asm__ volatile("");
}

// Whether whoever asks has been stopped several times: others ran between two of its steps.
class Turns {
 public:
  bool Over(int self) {
    const int last = running_.exchange(self, std::memory_order_relaxed);
    if (last != self && ++stopped_[self] == kTurns) --unfinished_;
    return unfinished_ <= 0 && NowNs() > least_;
  }

 private:
  static constexpr int kTurns = 2;
  std::atomic<int> running_ = -1;
  std::atomic<int> unfinished_ = kRivals;
  std::atomic<int> stopped_[kRivals] = {};
  // Where threads run at once they overtake each other without being stopped.
  const int64_t least_ = NowNs() + 200 * kNsPerMs;
};

// Runs step(i) again and again in thread i of kRivals until each has been stopped several times.
template <typename Step>
void Contend(Step step) {
  Turns turns;
  std::vector<Thread> threads;
  for (int i = 0; i < kRivals; ++i) {
    threads.emplace_back([&, i] {
      do step(i);
      while (!turns.Over(i));
      return nullptr;
    });
  }
}

// kRivals threads that compute until the end of its scope.
class Load {
 public:
  Load() {
    for (int i = 0; i < kRivals; ++i) {
      threads_.emplace_back([this] {
        while (!over_.load(std::memory_order_relaxed)) ComputeABit();
        return nullptr;
      });
    }
  }
  ~Load() {
    over_ = true;
    threads_.clear();
  }

 private:
  std::atomic<bool> over_ = false;
  std::vector<Thread> threads_;
};

}  // namespace test

#endif  // TEST_PRELOAD_RIVALS_H_
