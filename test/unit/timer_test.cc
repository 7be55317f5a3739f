// SPDX-License-Identifier: Apache-2.0
// Tests the timer heap against a sorted map: order, cancelling, when the next is due, and a race of two threads.
#include "runtime/sched/timer.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

struct Alarm : mn::Timer {
  int fired = 0;
};

std::vector<Alarm*> fired_in_order;

void Fire(mn::Timer* t) {
  auto* alarm = static_cast<Alarm*>(t);
  ++alarm->fired;
  fired_in_order.push_back(alarm);
}

class TimerTest : public testing::Test {
 protected:
  void SetUp() override { fired_in_order.clear(); }
  static void Arm(mn::TimerHeap* heap, Alarm* alarm, int64_t when) {
    alarm->when = when;
    alarm->fire = Fire;
    heap->arm(alarm);
  }

  mn::TimerHeap heap_;
};

TEST_F(TimerTest, EmptyHeapIsNeverDue) {
  EXPECT_EQ(heap_.next(), mn::kForever);
  EXPECT_EQ(heap_.run(mn::kForever - 1), 0);
}

TEST_F(TimerTest, FiresInOrderOfTimeAndOnlyWhatIsDue) {
  std::array<Alarm, 5> alarms;
  const std::array<int64_t, 5> times = {50, 10, 40, 20, 30};
  for (size_t i = 0; i < 5; ++i) Arm(&heap_, &alarms[i], times[i]);
  EXPECT_EQ(heap_.next(), 10);
  EXPECT_EQ(heap_.run(9), 0);
  EXPECT_EQ(heap_.run(30), 3);
  EXPECT_EQ(fired_in_order, (std::vector<Alarm*>{&alarms[1], &alarms[3], &alarms[4]}));
  EXPECT_EQ(heap_.next(), 40);
  EXPECT_EQ(heap_.run(1000), 2);
  EXPECT_EQ(heap_.next(), mn::kForever);
}

TEST_F(TimerTest, CancelTakesItOffAndIsHarmlessAfterwards) {
  Alarm first;
  Alarm second;
  Arm(&heap_, &first, 10);
  Arm(&heap_, &second, 20);
  heap_.cancel(&first);
  EXPECT_EQ(first.heap, nullptr);
  EXPECT_EQ(heap_.next(), 20);
  EXPECT_EQ(heap_.run(15), 0);
  EXPECT_EQ(heap_.run(20), 1);
  heap_.cancel(&second);  // has fired
  heap_.cancel(&second);
  EXPECT_EQ(second.fired, 1);
  EXPECT_EQ(heap_.next(), mn::kForever);
  Arm(&heap_, &second, 30);
  EXPECT_EQ(heap_.run(30), 1);
  EXPECT_EQ(second.fired, 2);
}

TEST_F(TimerTest, ForgetsAfterFork) {
  Alarm alarm;
  Arm(&heap_, &alarm, 10);
  heap_.reset_after_fork();
  EXPECT_EQ(heap_.next(), mn::kForever);
  EXPECT_EQ(heap_.run(100), 0);
}

// One random operation after the other on the heap and on the model.
class Model {
 public:
  Model() {
    for (size_t i = 0; i < kAlarms; ++i) alarms_.push_back(std::make_unique<Alarm>());
  }
  void Step(mn::TimerHeap* heap) {
    Alarm* alarm = alarms_[random_() % kAlarms].get();
    auto at = where_.find(alarm);
    switch (random_() % 8) {
      case 0:
        return RunUntil(heap, now_ + static_cast<int64_t>(random_() % 40));
      case 1:
      case 2:
      case 3:
        heap->cancel(alarm);
        if (at != where_.end()) Forget(at);
        break;
      default:
        if (at != where_.end()) return;  // armed already
        alarm->when = now_ + static_cast<int64_t>(random_() % 500);
        alarm->fire = Fire;
        heap->arm(alarm);
        where_[alarm] = model_.emplace(alarm->when, alarm);
    }
    ASSERT_EQ(heap->next(), model_.empty() ? mn::kForever : model_.begin()->first);
  }

 private:
  static constexpr size_t kAlarms = 300;
  using ByTime = std::multimap<int64_t, Alarm*>;

  void Forget(std::map<Alarm*, ByTime::iterator>::iterator at) {
    model_.erase(at->second);
    where_.erase(at);
  }
  void RunUntil(mn::TimerHeap* heap, int64_t now) {
    now_ = now;
    fired_in_order.clear();
    auto due = static_cast<size_t>(std::distance(model_.begin(), model_.upper_bound(now)));
    ASSERT_EQ(heap->run(now), static_cast<int>(due));
    ASSERT_EQ(fired_in_order.size(), due);
    for (Alarm* alarm : fired_in_order) {
      auto at = where_.find(alarm);
      ASSERT_NE(at, where_.end());
      ASSERT_EQ(alarm->when, model_.begin()->first) << "fired out of order";
      Forget(at);
    }
  }

  std::mt19937 random_{4711};
  std::vector<std::unique_ptr<Alarm>> alarms_;
  ByTime model_;
  std::map<Alarm*, ByTime::iterator> where_;
  int64_t now_ = 0;
};

TEST_F(TimerTest, BehavesAsASortedMap) {
  Model model;
  for (int i = 0; i < 200'000; ++i) {
    model.Step(&heap_);
    if (HasFatalFailure()) FAIL() << "at step " << i;
  }
}

// Deep in one direction, the worst shapes of a pairing heap: neither recursion nor lost nodes.
TEST_F(TimerTest, AMillionAscendingAndDescending) {
  constexpr int64_t kMany = 1'000'000;
  std::vector<Alarm> alarms(kMany);
  for (bool ascending : {true, false}) {
    for (int64_t i = 0; i < kMany; ++i) Arm(&heap_, &alarms[static_cast<size_t>(i)], ascending ? i : kMany - i);
    fired_in_order.clear();
    ASSERT_EQ(heap_.run(kMany), static_cast<int>(kMany));
    for (size_t i = 1; i < fired_in_order.size(); ++i) ASSERT_LE(fired_in_order[i - 1]->when, fired_in_order[i]->when);
  }
}

// When cancel() has returned the timer is not in use any more, though another thread runs the heap.
TEST(TimerRace, CancelWaitsForFiring) {
  struct Owned : mn::Timer {
    std::atomic<bool> gone{false};
    std::atomic<int> after{0};
  };
  constexpr int kRounds = 20'000;
  mn::TimerHeap heap;
  std::atomic<bool> done{false};
  std::atomic<int> fired{0};
  static std::atomic<int>* fired_counter;
  fired_counter = &fired;
  std::thread runner([&] {
    while (!done.load()) heap.run(1);
  });
  int used_after = 0;
  // On a busy machine the runner may get no turn for a while.
  for (int i = 0; i < kRounds || (fired.load() == 0 && i < 1'000 * kRounds); ++i) {
    Owned timer;
    timer.when = 1;
    timer.fire = [](mn::Timer* t) {
      auto* o = static_cast<Owned*>(t);
      fired_counter->fetch_add(1);
      if (o->gone.load()) o->after.fetch_add(1);
    };
    heap.arm(&timer);
    if (i % 2 == 0) std::this_thread::yield();
    heap.cancel(&timer);
    timer.gone.store(true);
    used_after += timer.after.load();
  }
  done.store(true);
  runner.join();
  EXPECT_EQ(used_after, 0);
  EXPECT_GT(fired.load(), 0);
}

}  // namespace
