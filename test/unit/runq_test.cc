// SPDX-License-Identifier: Apache-2.0
// Tests the run queue with one thread: order, runnext, a full ring, and how much a thief takes.
#include "runtime/sched/runq.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace {

struct Item {
  int id = 0;
};

constexpr uint32_t kRing = 8;

class RunQueueTest : public testing::Test {
 protected:
  using Queue = mn::RunQueue<Item, kRing>;

  RunQueueTest() {
    for (size_t i = 0; i < items_.size(); ++i) items_[i].id = static_cast<int>(i);
  }
  Item* item(int id) { return &items_[static_cast<size_t>(id)]; }
  void PushUpTo(Queue* q, int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(q->push(item(i)));
  }
  static std::vector<int> Drain(Queue* q) {
    std::vector<int> ids;
    while (Item* i = q->pop()) ids.push_back(i->id);
    return ids;
  }

  std::array<Item, 100> items_;
  Queue queue_;
};

TEST_F(RunQueueTest, PeeksAtThoseToCome) {
  EXPECT_EQ(queue_.peek(0), nullptr);
  // Across the ring's end, too.
  for (int round = 0; round < 3; ++round) {
    PushUpTo(&queue_, 5);
    for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(queue_.peek(i), item(static_cast<int>(i)));
    EXPECT_EQ(queue_.peek(5), nullptr);
    EXPECT_EQ(queue_.peek(6), nullptr);
    EXPECT_EQ(Drain(&queue_).size(), 5u);
  }
}

TEST_F(RunQueueTest, StartsEmpty) {
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(queue_.ring_empty());
  EXPECT_FALSE(queue_.has_next());
  EXPECT_EQ(queue_.size(), 0u);
  EXPECT_EQ(queue_.pop(), nullptr);
  EXPECT_EQ(queue_.pop_next(), nullptr);
  EXPECT_EQ(queue_.steal_next(), nullptr);
}

TEST_F(RunQueueTest, FirstInFirstOutAroundTheRing) {
  int in = 0;
  int out = 0;
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(queue_.push(item(in++ % 100)));
    for (int i = 0; i < 3; ++i) ASSERT_EQ(queue_.pop()->id, out++ % 100);
  }
  EXPECT_TRUE(queue_.empty());
}

TEST_F(RunQueueTest, RunnextHandsBackWhatItHeld) {
  EXPECT_EQ(queue_.push_next(item(1)), nullptr);
  EXPECT_EQ(queue_.push_next(item(2)), item(1));
  EXPECT_TRUE(queue_.has_next());
  EXPECT_TRUE(queue_.ring_empty());
  EXPECT_FALSE(queue_.empty());
  EXPECT_EQ(queue_.size(), 1u);
  EXPECT_EQ(queue_.pop(), nullptr) << "runnext is not in the ring";
  EXPECT_EQ(queue_.pop_next(), item(2));
  EXPECT_EQ(queue_.pop_next(), nullptr);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(RunQueueTest, RunnextCanBeStolen) {
  queue_.push_next(item(1));
  EXPECT_EQ(queue_.steal_next(), item(1));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(RunQueueTest, FullRingRefuses) {
  PushUpTo(&queue_, kRing);
  EXPECT_FALSE(queue_.push(item(50)));
  EXPECT_EQ(queue_.size(), kRing);
  EXPECT_EQ(queue_.pop(), item(0));
  EXPECT_TRUE(queue_.push(item(50)));
  EXPECT_EQ(Drain(&queue_), (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 50}));
}

TEST_F(RunQueueTest, PopHalfTakesTheOlderHalfOfAFullRing) {
  std::array<Item*, kRing / 2> out{};
  PushUpTo(&queue_, kRing - 1);
  EXPECT_EQ(queue_.pop_half(out.data()), 0u) << "the ring is not full";
  ASSERT_TRUE(queue_.push(item(7)));
  EXPECT_EQ(queue_.pop_half(out.data()), kRing / 2);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], item(i));
  EXPECT_EQ(Drain(&queue_), (std::vector<int>{4, 5, 6, 7}));
}

TEST_F(RunQueueTest, StealTakesTheOlderHalfRoundedUp) {
  for (int count = 0; count <= static_cast<int>(kRing); ++count) {
    Queue victim;
    Queue thief;
    PushUpTo(&victim, count);
    int taken = (count + 1) / 2;
    Item* first = thief.steal_from(victim);
    if (count == 0) {
      EXPECT_EQ(first, nullptr);
      continue;
    }
    // The newest of the stolen half runs at once, the others are queued in order.
    EXPECT_EQ(first, item(taken - 1));
    std::vector<int> stolen;
    std::vector<int> left;
    for (int i = 0; i < taken - 1; ++i) stolen.push_back(i);
    for (int i = taken; i < count; ++i) left.push_back(i);
    EXPECT_EQ(Drain(&thief), stolen) << count;
    EXPECT_EQ(Drain(&victim), left) << count;
  }
}

TEST_F(RunQueueTest, StealLeavesRunnext) {
  queue_.push_next(item(9));
  Queue thief;
  EXPECT_EQ(thief.steal_from(queue_), nullptr);
  PushUpTo(&queue_, 2);
  EXPECT_EQ(thief.steal_from(queue_), item(0));
  EXPECT_EQ(queue_.pop_next(), item(9));
}

TEST_F(RunQueueTest, StealWrapsInBothRings) {
  Queue thief;
  for (int i = 0; i < 6; ++i) {
    thief.push(item(99));
    thief.pop();
    queue_.push(item(99));
    queue_.pop();
  }
  PushUpTo(&queue_, kRing);
  EXPECT_EQ(thief.steal_from(queue_), item(3));
  EXPECT_EQ(Drain(&thief), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(Drain(&queue_), (std::vector<int>{4, 5, 6, 7}));
}

TEST_F(RunQueueTest, AloneItDoesTheSameWithoutThieves) {
  queue_.set_alone(true);
  EXPECT_EQ(queue_.pop_next(), nullptr);
  EXPECT_EQ(queue_.push_next(item(8)), nullptr);
  EXPECT_EQ(queue_.push_next(item(9)), item(8));
  PushUpTo(&queue_, kRing);
  EXPECT_FALSE(queue_.push(item(50)));
  std::array<Item*, kRing / 2> out{};
  EXPECT_EQ(queue_.pop_half(out.data()), kRing / 2);
  EXPECT_EQ(out[0], item(0));
  EXPECT_EQ(Drain(&queue_), (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(queue_.pop_next(), item(9));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(RunQueueTest, ForgetsAfterFork) {
  PushUpTo(&queue_, 5);
  queue_.push_next(item(9));
  queue_.reset_after_fork();
  EXPECT_TRUE(queue_.empty());
  PushUpTo(&queue_, kRing);
  EXPECT_EQ(queue_.pop(), item(0));
}

}  // namespace
