// SPDX-License-Identifier: Apache-2.0
// Tests a P's ring of trace records: what is noted, in which order, how much, and what is said of the rest. In TSan's
// variant a writer and the reader are threads.
#include "runtime/observe/recorder.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace {

std::vector<mn::TraceRecord> seen;

void See(const mn::P* p, const mn::TraceRecord& r) {
  EXPECT_EQ(p, mn::sched.ps[0]);
  seen.push_back(r);
}

// One P, whose M switches between two Gs.
class Recorder : public testing::Test {
 protected:
  Recorder() {
    mn::real_load();
    mn::sched.nprocs = 1;
    mn::sched.ps[0] = &p_;
    seen.clear();
    m_.p = &p_;
    a_.tid = 1;
    b_.tid = 2;
    EXPECT_TRUE(mn::recorder_start());
  }
  ~Recorder() override {
    mn::recorder_stop();
    mn::sched.ps[0] = nullptr;
  }

  void Switch(mn::G* from, mn::G* to) {
    if (p_.trace->full())
      ++p_.trace->skipped;  // as the scheduler, whose fast path this is
    else
      mn::trace_hooks.switched(&m_, from, to, mn::SliceEnd::kYields);
  }
  // So many turns of each.
  void TakeTurns(int n) {
    for (int i = 0; i < n; ++i) {
      Switch(&a_, &b_);
      Switch(&b_, &a_);
    }
  }

  mn::P p_;
  mn::M m_;
  mn::G a_, b_;
};

TEST_F(Recorder, NotesTurnsInOrder) {
  TakeTurns(3);
  mn::recorder_read(&p_, See);
  ASSERT_EQ(seen.size(), 5u);  // nobody knows since when the first had run
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].what, mn::TraceWhat::kSlice);
    EXPECT_EQ(seen[i].tid, i % 2 == 0 ? 2u : 1u);
    EXPECT_LE(seen[i].begin, seen[i].end);
    if (i != 0) {
      EXPECT_EQ(seen[i].begin, seen[i - 1].end);
    }
  }
}

TEST_F(Recorder, CountsWhatItLeavesOut) {
  int turns = static_cast<int>(mn::kTraceRecords);
  TakeTurns(turns);
  mn::recorder_read(&p_, See);
  EXPECT_EQ(seen.size(), mn::kTraceRecords);
  seen.clear();
  Switch(&a_, &b_);
  mn::recorder_read(&p_, See);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].what, mn::TraceWhat::kGap);
  EXPECT_EQ(seen[0].count + mn::kTraceRecords, 2 * static_cast<uint64_t>(turns) - 1);
}

TEST_F(Recorder, SlowsDownAfterABurst) {
  TakeTurns(static_cast<int>(mn::kTraceRecords));
  mn::recorder_read(&p_, See);
  seen.clear();
  TakeTurns(static_cast<int>(mn::kTraceRecords));
  mn::recorder_read(&p_, See);
  EXPECT_LT(seen.size(), mn::kTraceRecords / 10);
  EXPECT_GT(seen.size(), 100u);
  for (int i = 0; i < 1000; ++i) mn::recorder_read(&p_, See);  // idle for long: it may burst again
  seen.clear();
  TakeTurns(static_cast<int>(mn::kTraceRecords));
  mn::recorder_read(&p_, See);
  EXPECT_EQ(seen.size(), mn::kTraceRecords);
}

TEST_F(Recorder, SaysWhatIsUnfinished) {
  mn::TraceRecord r;
  EXPECT_FALSE(mn::recorder_unfinished(&p_, &r));
  Switch(&a_, &b_);
  ASSERT_TRUE(mn::recorder_unfinished(&p_, &r));
  EXPECT_EQ(r.tid, 2u);
  EXPECT_EQ(r.how, mn::SliceEnd::kRuns);
  TakeTurns(static_cast<int>(mn::kTraceRecords));
  ASSERT_TRUE(mn::recorder_unfinished(&p_, &r));
  EXPECT_EQ(r.what, mn::TraceWhat::kGap);
}

TEST_F(Recorder, AForkedChildBeginsAnew) {
  TakeTurns(10);
  EXPECT_TRUE(mn::recorder_start());
  mn::recorder_read(&p_, See);
  EXPECT_TRUE(seen.empty());
}

TEST_F(Recorder, ReaderAndWriterAtOnce) {
  constexpr int kTurns = 200000;
  std::atomic<bool> over{false};
  std::thread reader([&] {
    while (!over.load()) mn::recorder_read(&p_, See);
    mn::recorder_read(&p_, See);
  });
  TakeTurns(kTurns);
  over.store(true);
  reader.join();
  uint64_t turns = p_.trace->skipped;
  for (const mn::TraceRecord& r : seen) turns += r.what == mn::TraceWhat::kGap ? r.count : 1;
  // A gap ends with a switch that is in neither.
  EXPECT_LE(turns, 2u * kTurns);
  EXPECT_GE(turns, 2u * kTurns - 1 - seen.size());
  for (size_t i = 1; i < seen.size(); ++i) EXPECT_EQ(seen[i].begin, seen[i - 1].end) << i;
}

}  // namespace
