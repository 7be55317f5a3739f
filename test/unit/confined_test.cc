// SPDX-License-Identifier: Apache-2.0
// Tests what libmn makes of the program's seccomp filters: each instruction, and which means they take away.
#include "runtime/os/confined.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <sys/syscall.h>

#include <cstddef>
#include <vector>

namespace {

using Filter = std::vector<sock_filter>;

constexpr sock_filter kAllow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
constexpr sock_filter kKill = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);

sock_filter Load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
sock_filter If(uint16_t operation, uint32_t k) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | operation | BPF_K), k, 0, 1);
}

bool Allows(const Filter& filter, const seccomp_data& call) {
  return mn::filter_allows(filter.data(), static_cast<unsigned>(filter.size()), call);
}

seccomp_data Call(int nr, uint64_t first = 0, uint64_t second = 0) {
  seccomp_data call{};
  call.nr = nr;
  call.arch = AUDIT_ARCH_X86_64;
  call.args[0] = first;
  call.args[1] = second;
  return call;
}

uint32_t Taken(const Filter& filter) {
  return mn::means_taken_by(filter.data(), static_cast<unsigned>(filter.size()));
}

// Everything but one call.
Filter Without(uint32_t nr, uint32_t action) {
  return {Load(offsetof(seccomp_data, nr)), If(BPF_JEQ, nr), BPF_STMT(BPF_RET | BPF_K, action), kAllow};
}

TEST(Filter, EveryActionButTwoRefuses) {
  EXPECT_TRUE(Allows({kAllow}, Call(1)));
  EXPECT_TRUE(Allows({BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_LOG)}, Call(1)));
  for (uint32_t action : {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                          SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE})
    EXPECT_FALSE(Allows({BPF_STMT(BPF_RET | BPF_K, action | 1)}, Call(1))) << action;
}

TEST(Filter, LooksAtTheWholeCall) {
  Filter first{Load(offsetof(seccomp_data, args)), If(BPF_JEQ, 7), kAllow, kKill};
  EXPECT_TRUE(Allows(first, Call(1, 7)));
  EXPECT_FALSE(Allows(first, Call(1, 8)));
  Filter high{Load(offsetof(seccomp_data, args) + 12), If(BPF_JEQ, 1), kAllow, kKill};
  EXPECT_TRUE(Allows(high, Call(1, 0, uint64_t{1} << 32)));
  EXPECT_FALSE(Allows(high, Call(1, 0, 1)));
  Filter arch{Load(offsetof(seccomp_data, arch)), If(BPF_JEQ, AUDIT_ARCH_X86_64), kAllow, kKill};
  EXPECT_TRUE(Allows(arch, Call(1)));
}

TEST(Filter, Jumps) {
  struct Case {
    uint16_t operation;
    uint32_t k;
    bool holds;
  };
  for (Case c : {Case{BPF_JEQ, 5, true}, Case{BPF_JEQ, 6, false}, Case{BPF_JGT, 4, true}, Case{BPF_JGT, 5, false},
                 Case{BPF_JGE, 5, true}, Case{BPF_JGE, 6, false}, Case{BPF_JSET, 4, true}, Case{BPF_JSET, 2, false}}) {
    EXPECT_EQ(Allows({Load(offsetof(seccomp_data, nr)), If(c.operation, c.k), kAllow, kKill}, Call(5)), c.holds);
    Filter by_x{BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, c.k), Load(offsetof(seccomp_data, nr)),
                BPF_JUMP(static_cast<uint16_t>(BPF_JMP | c.operation | BPF_X), 0, 0, 1), kAllow, kKill};
    EXPECT_EQ(Allows(by_x, Call(5)), c.holds);
  }
  EXPECT_TRUE(Allows({BPF_STMT(BPF_JMP | BPF_JA, 1), kKill, kAllow}, Call(1)));
}

TEST(Filter, Arithmetic) {
  struct Case {
    uint16_t operation;
    uint32_t result;  // of 12 and 5
  };
  for (Case c :
       {Case{BPF_ADD, 17}, Case{BPF_SUB, 7}, Case{BPF_MUL, 60}, Case{BPF_DIV, 2}, Case{BPF_MOD, 2}, Case{BPF_AND, 4},
        Case{BPF_OR, 13}, Case{BPF_XOR, 9}, Case{BPF_LSH, 384}, Case{BPF_RSH, 0}, Case{BPF_NEG, 0u - 12}}) {
    Filter filter{BPF_STMT(BPF_LD | BPF_W | BPF_IMM, 12),
                  BPF_STMT(static_cast<uint16_t>(BPF_ALU | c.operation | BPF_K), 5), If(BPF_JEQ, c.result), kAllow,
                  kKill};
    EXPECT_TRUE(Allows(filter, Call(1))) << c.operation;
  }
}

TEST(Filter, MemoryAndRegisters) {
  Filter filter{BPF_STMT(BPF_LD | BPF_W | BPF_IMM, 3),  BPF_STMT(BPF_ST, 2),
                BPF_STMT(BPF_LDX | BPF_W | BPF_MEM, 2), BPF_STMT(BPF_LD | BPF_W | BPF_IMM, 9),
                BPF_STMT(BPF_MISC | BPF_TXA, 0),        If(BPF_JEQ, 3),
                BPF_STMT(BPF_RET | BPF_A, 0),           kKill};
  EXPECT_FALSE(Allows(filter, Call(1))) << "3 is no action that allows";
  Filter length{BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), If(BPF_JEQ, sizeof(seccomp_data)), kAllow, kKill};
  EXPECT_TRUE(Allows(length, Call(1)));
}

TEST(Means, AreTakenOneByOne) {
  constexpr uint32_t kErrno = SECCOMP_RET_ERRNO | 1;
  EXPECT_EQ(Taken({kAllow}), 0u);
  EXPECT_EQ(Taken(Without(SYS_membarrier, kErrno)), mn::kMembarrier);
  EXPECT_EQ(Taken(Without(SYS_preadv2, kErrno)), mn::kReadiness);
  EXPECT_EQ(Taken(Without(SYS_epoll_ctl, SECCOMP_RET_TRAP)), mn::kReadiness);
  EXPECT_EQ(Taken(Without(SYS_timer_create, kErrno)), mn::kSignalling);
  EXPECT_EQ(Taken(Without(SYS_sched_yield, SECCOMP_RET_KILL_PROCESS)), mn::kYield);
  EXPECT_EQ(Taken(Without(SYS_close_range, kErrno)), mn::kProc);
  EXPECT_EQ(Taken(Without(SYS_rt_sigreturn, kErrno)), mn::kReturns | mn::kSignalling);
  EXPECT_EQ(Taken(Without(SYS_ptrace, SECCOMP_RET_KILL_PROCESS)), 0u) << "libmn does not call it";
  EXPECT_EQ(Taken({kKill}), mn::kReadiness | mn::kMembarrier | mn::kSignalling | mn::kProc | mn::kThreadClocks |
                                mn::kYield | mn::kQuestions | mn::kMarkedSignals | mn::kOutput | mn::kAdvice |
                                mn::kReturns | mn::kThreads | mn::kTrials | mn::kMemory | mn::kHolding | mn::kStacks);
}

TEST(Means, OfThreads) {
  constexpr uint32_t kErrno = SECCOMP_RET_ERRNO | 1, kNone = SECCOMP_RET_ERRNO | ENOSYS;
  EXPECT_EQ(Taken(Without(SYS_mprotect, kErrno)), mn::kThreads);
  EXPECT_EQ(Taken(Without(SYS_mprotect, SECCOMP_RET_TRAP)), mn::kThreads | mn::kTrials);
  EXPECT_EQ(Taken(Without(SYS_mmap, SECCOMP_RET_KILL_PROCESS)), mn::kThreads | mn::kTrials | mn::kMemory);
  EXPECT_EQ(Taken(Without(SYS_rseq, kErrno)), 0u) << "libc does without";
  EXPECT_EQ(Taken(Without(SYS_rseq, SECCOMP_RET_KILL_PROCESS)), mn::kThreads | mn::kTrials);
  EXPECT_EQ(Taken(Without(SYS_clone3, kErrno)), mn::kThreads);
  EXPECT_EQ(Taken(Without(SYS_clone3, kNone)), 0u) << "libc then calls clone";
  EXPECT_EQ(Taken({Load(offsetof(seccomp_data, nr)), If(BPF_JEQ, SYS_clone3), BPF_STMT(BPF_RET | BPF_K, kNone),
                   If(BPF_JEQ, SYS_clone), BPF_STMT(BPF_RET | BPF_K, kErrno), kAllow}),
            mn::kThreads);
}

TEST(Means, DependOnArguments) {
  // Only the program's own guards: madvise with another advice than MADV_DONTNEED kills.
  Filter filter{Load(offsetof(seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
                Load(offsetof(seccomp_data, args) + 16),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0),
                kKill,
                kAllow};
  EXPECT_EQ(Taken(filter), mn::kAdvice);
}

TEST(Means, OnceLostStayLost) {
  EXPECT_TRUE(mn::may_use(mn::kYield));
  mn::means_lost.fetch_or(mn::kYield);
  EXPECT_FALSE(mn::may_use(mn::kYield));
  mn::yield_cpu();
  EXPECT_TRUE(mn::may_use(mn::kMembarrier));
  EXPECT_FALSE(mn::may_use(mn::kMembarrier | mn::kYield)) << "any of them";
  mn::means_lost.store(0);
}

}  // namespace
