// SPDX-License-Identifier: Apache-2.0
// Tests slots where address space is limited (arena.h): stacks that are mapped by themselves and given back, and heads,
// which stay.
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <vector>

#include "in_g.h"
#include "runtime/os/tcb.h"
#include "runtime/sched/arena.h"
#include "runtime/sched/give_back.h"

namespace {

using test::Put;

constexpr size_t kPage = 4096, kMiB = size_t{1} << 20;

bool Mapped(const char* p) {
  unsigned char resident;
  auto page = reinterpret_cast<uintptr_t>(p) & ~(kPage - 1);
  return mincore(reinterpret_cast<void*>(page), kPage, &resident) == 0;
}

mn::G* GetOf(size_t stack) {
  return mn::gpool_get(stack, kPage, nullptr);
}

class Exact : public test::PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    early_ = Get();
    mn::make_space_exact();
  }
  void TearDown() override { Put(early_); }

  static void GiveBackAll() {
    mn::M* m = mn::enter();
    mn::give_back_all(m);
    mn::leave();
  }

  mn::G* early_ = nullptr;  // made before space was exact
};

TEST_F(Exact, StacksAreAsLargeAsAskedFor) {
  mn::G* g = GetOf(3 * kMiB + 100);
  ASSERT_NE(g, nullptr);
  mn::StackRange stack = mn::gpool_stack(g);
  EXPECT_EQ(g->stack_size, 3 * kMiB + 100);
  EXPECT_EQ(stack.bytes, 3 * kMiB + kPage);
  EXPECT_EQ(g->stack_base, stack.low);
  memset(stack.low, 1, stack.bytes);
  int ran = 0;
  test::RunIn(g, [&] { ran = 1; });
  EXPECT_EQ(ran, 1);
  EXPECT_FALSE(Mapped(stack.low - 2 * kPage)) << "the guard is all that lies below";
  Put(g);
}

TEST_F(Exact, StacksOfEndedThreadsAreGivenBackAndTheirHeadsStay) {
  std::vector<mn::G*> gs;
  for (int i = 0; i < 4; ++i) gs.push_back(GetOf(4 * kMiB));
  std::vector<char*> stacks;
  for (mn::G* g : gs) stacks.push_back(mn::gpool_stack(g).low);
  for (mn::G* g : gs) Put(g);
  GiveBackAll();
  for (char* stack : stacks) EXPECT_FALSE(Mapped(stack));
  for (mn::G* g : gs) {
    EXPECT_EQ(mn::g_slot_of(g->tp), g) << "a stale pthread_t leads to it still";
    EXPECT_EQ(g->state, mn::GState::kFree);
  }
  // Heads serve for stacks of any size.
  std::set<mn::G*> heads(gs.begin(), gs.end());
  std::vector<mn::G*> again;
  for (size_t i = 0; i < gs.size(); ++i) again.push_back(GetOf((i + 1) * kMiB));
  for (mn::G* g : again) EXPECT_EQ(heads.count(g), 1u);
  for (mn::G* g : again) Put(g);
}

TEST_F(Exact, SlotsFromBeforeAreGivenBack) {
  mn::G* g = early_;
  char* low = mn::gpool_stack(g).low;
  Put(g);
  GiveBackAll();
  EXPECT_FALSE(Mapped(low));
  EXPECT_EQ(mn::g_slot_of(g->tp), g);
  early_ = Get();
}

TEST_F(Exact, NoMoreIsKeptThanLibcKeeps) {
  constexpr size_t kStack = 8 * kMiB;
  std::vector<mn::G*> gs;
  for (int i = 0; i < 20; ++i) gs.push_back(GetOf(kStack));
  std::vector<char*> stacks;
  for (mn::G* g : gs) stacks.push_back(mn::gpool_stack(g).low);
  for (mn::G* g : gs) Put(g);
  size_t kept = 0;
  for (char* stack : stacks) kept += Mapped(stack) ? kStack : 0;
  EXPECT_LE(kept, mn::most_kept());
  EXPECT_GT(kept, 0u);
}

TEST_F(Exact, EveryGIsVisitedOnce) {
  std::vector<mn::G*> gs;
  for (int i = 0; i < 5; ++i) gs.push_back(GetOf((i + 1) * kMiB));
  gs.push_back(early_);
  std::multiset<mn::G*> visited;
  mn::gpool_for_each([](mn::G* g, void* arg) { static_cast<std::multiset<mn::G*>*>(arg)->insert(g); }, &visited);
  for (mn::G* g : gs) EXPECT_EQ(visited.count(g), 1u);
  gs.pop_back();
  for (mn::G* g : gs) Put(g);
}

TEST_F(Exact, RecordsOfDrySlotsAreAStack) {
  mn::DryList list;
  EXPECT_TRUE(list.empty());
  char slots[1000];
  for (int round = 0; round < 3; ++round) {
    for (char& slot : slots) {
      ASSERT_TRUE(list.reserve());
      list.push({&slot, false, {}});
    }
    for (int i = 999; i >= 0; --i) {
      ASSERT_FALSE(list.empty());
      ASSERT_EQ(list.pop().slot, &slots[i]);
    }
    EXPECT_TRUE(list.empty());
  }
}

}  // namespace
