// SPDX-License-Identifier: Apache-2.0
// Tests the slots of Gs: size, guard, reuse of the last one freed, no overlap, colours, and the program's own stacks.
#include "runtime/sched/gpool.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "in_g.h"
#include "runtime/os/tcb.h"

// The guard's fault must end a child as it would end the program.
extern "C" const char* __asan_default_options() {
  return "handle_segv=0";
}

namespace {

using test::Put;

constexpr size_t kPage = 4096;

class Gpool : public test::PoolTest {};

// Bytes for frames: from the guard to the G.
size_t Usable(const mn::G* g) {
  return static_cast<size_t>(reinterpret_cast<const char*>(g) - (g->slot + g->guard_size));
}

// By the kernel, which does not fault but says EFAULT.
bool Readable(const char* p) {
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  bool readable = write(pipe_ends[1], p, 1) == 1;
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  return readable;
}

TEST_F(Gpool, HasTheStackThatWasAskedFor) {
  mn::G* g = mn::gpool_get(stack_size_, kPage, nullptr);
  ASSERT_NE(g, nullptr);
  EXPECT_EQ(g->stack_size, stack_size_);
  EXPECT_EQ(g->guard_size, kPage);
  EXPECT_FALSE(g->user_stack);
  // As with glibc, TLS and TCB lie in the stack's range; the range lies above the guard.
  EXPECT_GE(g->stack_base, g->slot + g->guard_size);
  EXPECT_LT(static_cast<char*>(g->tp), g->stack_base + g->stack_size);
  EXPECT_GE(static_cast<char*>(g->tp) + mn::tcb_layout.size, g->stack_base);
  EXPECT_EQ(mn::gpool_stack(g).low + mn::gpool_stack(g).bytes, reinterpret_cast<char*>(g));
  // TLS, TCB and G take no more than two pages beyond the static TLS.
  EXPECT_GE(Usable(g) + mn::tcb_layout.static_size + 2 * kPage, stack_size_);
  memset(g->slot + g->guard_size, 0xa5, Usable(g));
  Put(g);
}

TEST_F(Gpool, TheLeastStackIsNotEatenByTls) {
  mn::G* g = mn::gpool_get(16384, kPage, nullptr);
  EXPECT_GE(Usable(g), 12288u);
  // Nor is it larger than asked for: who overflows it by its size is to meet the guard (as natively).
  EXPECT_LE(Usable(g), 16384u);
  Put(g);
}

TEST_F(Gpool, SizesNeedNotBeMultiplesOfPages) {
  mn::G* g = mn::gpool_get(stack_size_ + 100, kPage, nullptr);
  EXPECT_EQ(g->stack_size, stack_size_ + 100);
  EXPECT_GE(g->stack_base, g->slot + g->guard_size);
  Put(g);
}

TEST_F(Gpool, PartsDoNotOverlap) {
  mn::G* g = Get();
  auto* tcb = static_cast<char*>(g->tp);
  EXPECT_LE(reinterpret_cast<char*>(g + 1), tcb - (mn::tcb_layout.static_size - mn::tcb_layout.size));
  EXPECT_LE(tcb + mn::tcb_layout.size, g->stack_base + g->stack_size);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tcb) % std::max<size_t>(64, mn::tcb_layout.static_align), 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(g) % 64, 0u);
  Put(g);
}

TEST_F(Gpool, GsAreFresh) {
  mn::G* g = Get();
  EXPECT_NE(g->tid, 0u);
  EXPECT_GE(g->tid, static_cast<uint32_t>(mn::kFakeTidBase));
  EXPECT_EQ(mn::tcb_tid(g->tp), static_cast<int>(g->tid));
  EXPECT_EQ(mn::g_slot_of(g->tp), g);
  g->result = &g;
  g->sigpend = 5;
  g->cancelled = true;
  g->cancel_poke = true;
  g->life = 15;
  g->wait_key = &g;
  Put(g);
  mn::G* again = Get();
  ASSERT_EQ(again, g);
  EXPECT_EQ(g->locks, 1u) << "it begins inside";
  EXPECT_EQ(g->result, nullptr);
  EXPECT_EQ(g->sigpend.load(), 5u) << "signals that came when it had ended: thread_create gives them to others";
  g->sigpend = 0;
  EXPECT_FALSE(g->cancelled.load());
  EXPECT_FALSE(g->cancel_poke.load());
  EXPECT_EQ(g->life.load(), 0u);
  EXPECT_EQ(g->wait_key.load(), nullptr);
  EXPECT_EQ(g->m.load(), nullptr);
  Put(g);
}

TEST_F(Gpool, TheLastFreedIsTheFirstReused) {
  mn::G* a = Get();
  mn::G* b = Get();
  mn::G* c = Get();
  Put(b);
  Put(c);
  Put(a);
  EXPECT_EQ(Get(), a);
  EXPECT_EQ(Get(), c);
  EXPECT_EQ(Get(), b);
  for (mn::G* g : {a, b, c}) Put(g);
}

TEST_F(Gpool, ClassesAreApart) {
  mn::G* a = Get();
  Put(a);
  mn::G* other_size = mn::gpool_get(stack_size_ + 16, kPage, nullptr);
  mn::G* other_guard = mn::gpool_get(stack_size_, 2 * kPage, nullptr);
  EXPECT_NE(other_size, a);
  EXPECT_NE(other_guard, a);
  EXPECT_EQ(other_size->stack_size, stack_size_ + 16);
  EXPECT_EQ(other_guard->guard_size, 2 * kPage);
  EXPECT_EQ(Get(), a);
  for (mn::G* g : {a, other_size, other_guard}) Put(g);
}

TEST_F(Gpool, SlotsDoNotOverlap) {
  constexpr size_t kSlots = 300;
  std::vector<mn::G*> gs;
  for (size_t i = 0; i < kSlots; ++i) {
    mn::G* g = Get();
    ASSERT_NE(g, nullptr);
    memset(g->stack_base, static_cast<int>(i), 64);
    gs.push_back(g);
  }
  std::set<uint32_t> tids;
  for (size_t i = 0; i < kSlots; ++i) {
    EXPECT_EQ(gs[i]->stack_base[63], static_cast<char>(i));
    tids.insert(gs[i]->tid);
  }
  EXPECT_EQ(tids.size(), kSlots);
  std::vector<mn::G*> sorted = gs;
  std::sort(sorted.begin(), sorted.end(), [](mn::G* a, mn::G* b) { return a->slot < b->slot; });
  for (size_t i = 1; i < kSlots; ++i) EXPECT_LE(sorted[i - 1]->stack_base + stack_size_, sorted[i]->slot);
  for (mn::G* g : gs) Put(g);
}

TEST_F(Gpool, ColoursSpreadTheHotLines) {
  std::vector<mn::G*> gs;
  std::set<uintptr_t> offsets;
  for (int i = 0; i < 64; ++i) {
    gs.push_back(Get());
    offsets.insert(reinterpret_cast<uintptr_t>(gs.back()->tp) % kPage / 64);
  }
  EXPECT_GE(offsets.size(), 8u) << "thread control blocks fall into the same cache sets";
  for (mn::G* g : gs) Put(g);
}

TEST_F(Gpool, ForEachVisitsEachOnce) {
  std::vector<mn::G*> gs;
  for (int i = 0; i < 10; ++i) gs.push_back(Get());
  std::multiset<mn::G*> visited;
  mn::gpool_for_each([](mn::G* g, void* arg) { static_cast<std::multiset<mn::G*>*>(arg)->insert(g); }, &visited);
  for (mn::G* g : gs) EXPECT_EQ(visited.count(g), 1u);
  for (mn::G* g : gs) Put(g);
}

TEST_F(Gpool, ProgramsOwnStackIsUsedAsItIs) {
  std::vector<char> memory(128 * 1024);
  mn::G* g = mn::gpool_get(memory.size(), kPage, memory.data());
  ASSERT_NE(g, nullptr);
  EXPECT_TRUE(g->user_stack);
  EXPECT_EQ(g->stack_base, memory.data());
  EXPECT_EQ(g->stack_size, memory.size());
  EXPECT_EQ(mn::gpool_stack(g).bytes, memory.size());
  auto* tp = static_cast<char*>(g->tp);
  EXPECT_TRUE(tp < memory.data() || tp >= memory.data() + memory.size()) << "only TLS and TCB are ours";
  Put(g);
}

TEST_F(Gpool, NoMemoryIsNullAndHarmless) {
  EXPECT_EQ(mn::gpool_get(size_t{1} << 50, kPage, nullptr), nullptr);
  mn::G* g = Get();
  EXPECT_NE(g, nullptr);
  Put(g);
}

class Guard : public test::PoolTest {};

TEST_F(Guard, CoversItsWholeSizeAndNothingElse) {
  for (size_t size : {kPage, 4 * kPage, size_t{1}, size_t{0}}) {
    mn::G* g = mn::gpool_get(stack_size_, size, nullptr);
    ASSERT_NE(g, nullptr);
    EXPECT_EQ(g->guard_size, (size + kPage - 1) / kPage * kPage) << "rounded up to pages";
    for (char* p = g->slot; p < g->slot + g->guard_size; p += kPage) EXPECT_FALSE(Readable(p));
    EXPECT_TRUE(Readable(g->slot + g->guard_size));
    Put(g);
    mn::G* again = mn::gpool_get(stack_size_, size, nullptr);
    ASSERT_EQ(again, g);
    if (size != 0) {
      EXPECT_FALSE(Readable(g->slot)) << "still there when the slot is used again";
    }
    Put(g);
  }
}

using GuardDeathTest = Guard;

TEST_F(GuardDeathTest, FaultsWhenAStackRunsIntoIt) {
  mn::G* g = Get();
  volatile char* guard = g->slot + g->guard_size - 1;
  EXPECT_EXIT(*guard = 1, testing::KilledBySignal(SIGSEGV), "");
  Put(g);
}

// The same tests where the kernel has no MADV_GUARD_INSTALL: the choice is made once per process.
TEST(GuardFallback, ProtNoneServesAsWell) {
  if (getenv("MN_DISABLE") != nullptr) return;  // this is that process
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    setenv("MN_DISABLE", "guard_install", 1);
    execl("/proc/self/exe", "gpool_test", "--gtest_filter=Guard*:Gpool.*", nullptr);
    _exit(127);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
