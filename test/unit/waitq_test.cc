// SPDX-License-Identifier: Apache-2.0
// Tests the buckets of the wait queues by themselves: order, removal from anywhere, and several keys in one bucket.
#include "runtime/sync/waitq.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace {

// Queues a waiter in the way that waitq.h describes: wait_on() itself would park the caller.
void Enqueue(mn::Bucket* b, mn::Waiter* w) {
  w->state = mn::WaitState::kQueued;
  w->g->waiter = w;
  w->g->wait_key.store(w->key);
  mn::append_waiter(b, w);
}

class Buckets : public testing::Test {
 protected:
  static constexpr size_t kMany = 5;

  void Fill(const void* key) {
    for (size_t i = 0; i < kMany; ++i) Add(i, key);
  }
  void Add(size_t i, const void* key) {
    waiters_[i].key = key;
    waiters_[i].g = &gs_[i];
    Enqueue(&bucket_, &waiters_[i]);
  }
  // Who is taken, in order, by index.
  std::vector<size_t> TakeAll(const void* key) {
    std::vector<size_t> order;
    while (mn::G* g = mn::take_waiter(&bucket_, key)) order.push_back(static_cast<size_t>(g - gs_.data()));
    return order;
  }

  mn::Bucket bucket_;
  std::array<mn::Waiter, kMany> waiters_;
  std::array<mn::G, kMany> gs_;
  std::array<int, 4> keys_{};
};

TEST_F(Buckets, NobodyWaitsAtFirst) {
  EXPECT_EQ(mn::first_waiter(&bucket_, &keys_[0]), nullptr);
  EXPECT_EQ(mn::take_waiter(&bucket_, &keys_[0]), nullptr);
}

TEST_F(Buckets, FirstComeFirstServed) {
  Fill(&keys_[0]);
  EXPECT_EQ(mn::first_waiter(&bucket_, &keys_[0]), &waiters_[0]);
  EXPECT_EQ(TakeAll(&keys_[0]), (std::vector<size_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(bucket_.queues, nullptr);
}

TEST_F(Buckets, TakenOnesAreMarkedWoken) {
  uint32_t counter = 7;
  Fill(&keys_[0]);
  waiters_[0].counter = &counter;
  EXPECT_EQ(mn::take_waiter(&bucket_, &keys_[0]), &gs_[0]);
  EXPECT_EQ(waiters_[0].state, mn::WaitState::kWoken);
  EXPECT_EQ(gs_[0].waiter, nullptr);
  EXPECT_EQ(counter, 7u) << "the waker accounts for those that it wakes";
  EXPECT_EQ(waiters_[1].state, mn::WaitState::kQueued);
}

class Removal : public Buckets, public testing::WithParamInterface<size_t> {};
INSTANTIATE_TEST_SUITE_P(HeadMiddleTail, Removal, testing::Range(size_t{0}, size_t{5}));

TEST_P(Removal, LeavesTheOthersInOrder) {
  Fill(&keys_[0]);
  mn::remove_waiter(&bucket_, &waiters_[GetParam()]);
  std::vector<size_t> rest;
  for (size_t i = 0; i < kMany; ++i)
    if (i != GetParam()) rest.push_back(i);
  EXPECT_EQ(TakeAll(&keys_[0]), rest);
}

TEST_P(Removal, LateComersStillQueueAtTheEnd) {
  for (size_t i = 0; i + 1 < kMany; ++i) Add(i, &keys_[0]);
  size_t removed = GetParam() % (kMany - 1);
  mn::remove_waiter(&bucket_, &waiters_[removed]);
  Add(kMany - 1, &keys_[0]);
  std::vector<size_t> rest;
  for (size_t i = 0; i < kMany; ++i)
    if (i != removed) rest.push_back(i);
  EXPECT_EQ(TakeAll(&keys_[0]), rest);
}

TEST_P(Removal, OfAllInAnyOrderEmptiesTheBucket) {
  Fill(&keys_[0]);
  for (size_t i = 0; i < kMany; ++i) mn::remove_waiter(&bucket_, &waiters_[(GetParam() + i * 2) % kMany]);
  EXPECT_EQ(bucket_.queues, nullptr);
}

TEST_F(Buckets, KeysOfOneBucketDoNotMix) {
  const void* a = &keys_[0];
  const void* b = &keys_[1];
  const void* c = &keys_[2];
  Add(0, a);
  Add(1, b);
  Add(2, a);
  Add(3, c);
  Add(4, b);
  mn::remove_waiter(&bucket_, &waiters_[3]);  // the only one of its key
  EXPECT_EQ(mn::first_waiter(&bucket_, c), nullptr);
  EXPECT_EQ(mn::take_waiter(&bucket_, &keys_[3]), nullptr);
  EXPECT_EQ(TakeAll(b), (std::vector<size_t>{1, 4}));
  EXPECT_EQ(TakeAll(a), (std::vector<size_t>{0, 2}));
  EXPECT_EQ(bucket_.queues, nullptr);
}

TEST_F(Buckets, HeadsInTheMiddleOfABucketCanLeave) {
  Add(0, &keys_[0]);
  Add(1, &keys_[1]);
  Add(2, &keys_[1]);
  Add(3, &keys_[2]);
  mn::remove_waiter(&bucket_, &waiters_[1]);  // its heir takes its place among the queues
  EXPECT_EQ(mn::first_waiter(&bucket_, &keys_[1]), &waiters_[2]);
  mn::remove_waiter(&bucket_, &waiters_[2]);
  EXPECT_EQ(mn::first_waiter(&bucket_, &keys_[0]), &waiters_[0]);
  EXPECT_EQ(mn::first_waiter(&bucket_, &keys_[2]), &waiters_[3]);
}

TEST_F(Buckets, OneCanBeTakenFromTheMiddle) {
  Fill(&keys_[0]);
  EXPECT_EQ(mn::take_this_waiter(&bucket_, &waiters_[2]), &gs_[2]);
  EXPECT_EQ(waiters_[2].state, mn::WaitState::kWoken);
  EXPECT_EQ(gs_[2].waiter, nullptr);
  EXPECT_EQ(TakeAll(&keys_[0]), (std::vector<size_t>{0, 1, 3, 4}));
}

TEST_F(Buckets, MovedOnesQueueUpElsewhere) {
  for (size_t i = 0; i < 3; ++i) Add(i, &keys_[0]);
  Add(3, &keys_[1]);
  mn::Bucket other;
  mn::move_waiter(&bucket_, &waiters_[1], &other, &keys_[2]);    // of another bucket
  mn::move_waiter(&bucket_, &waiters_[0], &bucket_, &keys_[1]);  // of the same
  EXPECT_EQ(gs_[1].wait_key.load(), &keys_[2]) << "where an interruption looks for it";
  EXPECT_EQ(gs_[0].wait_key.load(), &keys_[1]);
  EXPECT_EQ(waiters_[0].state, mn::WaitState::kQueued);
  EXPECT_EQ(TakeAll(&keys_[0]), (std::vector<size_t>{2}));
  EXPECT_EQ(TakeAll(&keys_[1]), (std::vector<size_t>{3, 0}));
  EXPECT_EQ(mn::take_waiter(&other, &keys_[2]), &gs_[1]);
  EXPECT_EQ(other.queues, nullptr);
}

TEST_F(Buckets, OneOfSeveralIsMovedWithoutItsThread) {
  Add(0, &keys_[0]);
  waiters_[0].state = mn::WaitState::kOneOf;
  gs_[0].wait_key.store(&keys_[3]);
  mn::move_waiter(&bucket_, &waiters_[0], &bucket_, &keys_[1]);
  EXPECT_EQ(gs_[0].wait_key.load(), &keys_[3]) << "it waits there";
  EXPECT_EQ(mn::first_waiter(&bucket_, &keys_[1]), &waiters_[0]);
}

TEST(BucketOf, WordsOfOneUnitShareABucketAndOthersSpread) {
  alignas(8) std::array<int, 2> pair{};
  EXPECT_EQ(mn::bucket_of(&pair[0]), mn::bucket_of(&pair[1])) << "the reader-writer lock relies on it";
  // Objects laid out at common distances.
  for (uintptr_t stride : {8, 40, 64, 4096, 65536}) {
    std::set<mn::Bucket*> seen;
    for (uintptr_t i = 0; i < 1000; ++i)
      seen.insert(mn::bucket_of(reinterpret_cast<void*>(0x7f0000001000 + i * stride)));
    EXPECT_GT(seen.size(), 900u) << stride;
  }
}

}  // namespace
