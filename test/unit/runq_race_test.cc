// SPDX-License-Identifier: Apache-2.0
// Tests that each element leaves the run queue exactly once while an owner and three thieves race for it.
#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "runtime/base/rand.h"
#include "runtime/sched/runq.h"

namespace {

struct Item {
  std::atomic<uint32_t> taken{0};
};

constexpr int kThieves = 3;
#if defined(__SANITIZE_THREAD__)
constexpr uint32_t kItems = 200'000;
#else
constexpr uint32_t kItems = 1'000'000;
#endif

template <uint32_t N>
class Race {
 public:
  // Returns how many elements came out twice or never.
  uint32_t Run(bool use_next) {
    std::vector<std::thread> thieves;
    for (uint32_t i = 0; i < kThieves; ++i) thieves.emplace_back([this, i] { Steal(i); });
    Own(use_next);
    done_.store(true);
    for (std::thread& t : thieves) t.join();
    uint32_t wrong = 0;
    for (Item& item : items_) wrong += item.taken.load() != 1 ? 1 : 0;
    return wrong;
  }
  uint32_t stolen() const { return stolen_.load(); }

 private:
  using Queue = mn::RunQueue<Item, N>;

  static void Take(Item* item) { item->taken.fetch_add(1, std::memory_order_relaxed); }

  // As the scheduler does: what runnext held is queued; of a full ring half is taken away.
  void PushTail(Item* item) {
    std::array<Item*, N / 2> half;
    while (!owned_.push(item)) {
      uint32_t n = owned_.pop_half(half.data());
      for (uint32_t i = 0; i < n; ++i) Take(half[i]);
    }
  }

  void Own(bool use_next) {
    mn::Xorshift32 rand(1);
    for (Item& item : items_) {
      if (use_next && rand.below(2) == 0) {
        if (Item* kicked = owned_.push_next(&item)) PushTail(kicked);
      } else {
        PushTail(&item);
      }
      if (rand.below(3) == 0) {
        if (Item* i = owned_.pop()) Take(i);
      }
      if (use_next && rand.below(4) == 0) {
        if (Item* i = owned_.pop_next()) Take(i);
      }
      if (rand.below(512) == 0) sched_yield();
    }
    while (!owned_.empty()) {
      if (Item* i = owned_.pop()) Take(i);
      if (Item* i = owned_.pop_next()) Take(i);
    }
  }

  void Steal(uint32_t self) {
    mn::Xorshift32 rand(self + 2);
    Queue& mine = stolen_queues_[self];
    while (!done_.load()) {
      // From the owner, or from another thief.
      uint32_t from = rand.below(kThieves + 1);
      Queue& victim = from == kThieves || from == self ? owned_ : stolen_queues_[from];
      if (Item* i = mine.steal_from(victim)) {
        Take(i);
        stolen_.fetch_add(1, std::memory_order_relaxed);
        while (Item* next = mine.pop()) Take(next);
      } else if (Item* n = rand.below(4) == 0 ? owned_.steal_next() : nullptr) {
        Take(n);
      } else {
        sched_yield();
      }
    }
    while (Item* i = mine.pop()) Take(i);
  }

  std::vector<Item> items_{kItems};
  Queue owned_;
  std::array<Queue, kThieves> stolen_queues_;
  std::atomic<bool> done_{false};
  std::atomic<uint32_t> stolen_{0};
};

TEST(RunQueueRace, RingOfFour) {
  Race<4> race;
  EXPECT_EQ(race.Run(false), 0u);
  EXPECT_GT(race.stolen(), 0u);
}

TEST(RunQueueRace, RingOfFourAndRunnext) {
  Race<4> race;
  EXPECT_EQ(race.Run(true), 0u);
}

TEST(RunQueueRace, RingOfTheSchedulersSize) {
  Race<256> race;
  EXPECT_EQ(race.Run(true), 0u);
}

// An element that is kicked from runnext into the ring is never missed by empty().
TEST(RunQueueRace, EmptyMissesNothingThatMoves) {
  mn::RunQueue<Item, 4> queue;
  Item a;
  Item b;
  std::atomic<bool> done{false};
  std::atomic<uint32_t> missed{0};
  queue.push_next(&a);
  std::thread observer([&] {
    while (!done.load()) missed.fetch_add(queue.empty() ? 1 : 0);
  });
  for (uint32_t i = 0; i < kItems / 4; ++i) {
    Item* kicked = queue.push_next(i % 2 == 0 ? &b : &a);
    queue.push(kicked);
    queue.pop();
  }
  done.store(true);
  observer.join();
  EXPECT_EQ(missed.load(), 0u);
}

}  // namespace
