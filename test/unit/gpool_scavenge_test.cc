// SPDX-License-Identifier: Apache-2.0
// Tests that slots which stay free give their memory back to the system, and serve again afterwards.
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "in_g.h"
#include "runtime/os/tcb.h"

namespace {

using test::Put;
using test::RunIn;

constexpr size_t kPage = 4096;
constexpr size_t kSlots = 600;

thread_local int initial = 1234;

class Scavenge : public test::PoolTest {
 protected:
  void SetUp() override {
    PoolTest::SetUp();
    for (size_t i = 0; i < kSlots; ++i) {
      mn::G* g = Get();
      ASSERT_NE(g, nullptr);
      memset(g->stack_base, 1, 8 * kPage);
      gs_.push_back(g);
    }
  }
  size_t Resident() const {
    size_t pages = 0;
    // The G itself may be gone with its page: where it was is known from before.
    for (const Range& r : ranges_) pages += r.Resident();
    return pages;
  }
  void FreeAll() {
    for (mn::G* g : gs_) ranges_.push_back({g->slot + g->guard_size, g->stack_base + g->stack_size});
    for (mn::G* g : gs_) Put(g);
  }
  // The first look notes how many stay free, the second returns them.
  static void ScavengeTwice() {
    mn::gpool_scavenge();
    mn::gpool_scavenge();
  }

  struct Range {
    char* low;
    char* high;
    size_t Resident() const {
      std::vector<unsigned char> map(static_cast<size_t>(high - low) / kPage);
      EXPECT_EQ(mincore(low, map.size() * kPage, map.data()), 0);
      size_t n = 0;
      for (unsigned char page : map) n += page & 1u;
      return n;
    }
  };
  std::vector<mn::G*> gs_;
  std::vector<Range> ranges_;
};

TEST_F(Scavenge, ReturnsMostOfTheMemory) {
  FreeAll();
  size_t before = Resident();
  EXPECT_GE(before, kSlots * 8);
  EXPECT_TRUE(mn::gpool_wants_scavenge());
  ScavengeTwice();
  EXPECT_LE(Resident(), before / 3);
  EXPECT_GT(Resident(), 0u) << "a few are kept";
}

TEST_F(Scavenge, LeavesUsedSlotsAlone) {
  ScavengeTwice();
  for (mn::G* g : gs_) ASSERT_EQ(g->stack_base[0], 1);
  FreeAll();
}

TEST_F(Scavenge, SlotsServeAgain) {
  FreeAll();
  ScavengeTwice();
  std::vector<mn::G*> again;
  for (size_t i = 0; i < kSlots; ++i) {
    mn::G* g = Get();
    ASSERT_NE(g, nullptr);
    int value = 0;
    int error = -1;
    RunIn(g, [&] {
      value = initial;
      initial = 5;
      error = errno;
      errno = ERANGE;
      void* volatile p = malloc(100);
      free(p);
    });
    ASSERT_EQ(value, 1234);
    ASSERT_EQ(error, 0);
    ASSERT_EQ(mn::tcb_tid(g->tp), static_cast<int>(g->tid));
    again.push_back(g);
  }
  // From the same address space: a second arena was not needed.
  for (mn::G* g : again) {
    bool known = false;
    for (const Range& r : ranges_) known |= r.low == g->slot + g->guard_size;
    ASSERT_TRUE(known);
  }
  for (mn::G* g : again) Put(g);
}

TEST_F(Scavenge, GuardsOutliveIt) {
  std::vector<char*> slots;
  for (mn::G* g : gs_) slots.push_back(g->slot);
  FreeAll();
  ScavengeTwice();
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  for (char* slot : slots) ASSERT_EQ(write(ends[1], slot, 1), -1);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
