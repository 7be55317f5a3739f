// SPDX-License-Identifier: Apache-2.0
// Tests programs that confine themselves by a seccomp filter which lets through what libc needs for what they do, and
// refuses or kills for all else: each thing that threads do, confined before the first thread and after.
#include "confined.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>

#include "deeds.h"

namespace {

using test::Calls;
using test::Deed;

// Of every program here: threads, memory, and its end.
const Calls kAlways = {SYS_mmap,           SYS_munmap, SYS_mprotect,        SYS_madvise, SYS_brk,
                       SYS_clone,          SYS_clone3, SYS_set_robust_list, SYS_rseq,    SYS_rt_sigaction,
                       SYS_rt_sigprocmask, SYS_exit,   SYS_exit_group,      SYS_futex};

enum class When { kBeforeThreads, kAfterThreads };

// A filter is for good, so it is installed in a child. 0: it was right.
int StatusOf(const Deed& deed, When when, const std::vector<sock_filter>& filter, test::How how) {
  return test::StatusOfChild(deed, when == When::kAfterThreads, [&] { return test::Install(filter, how); });
}

int StatusOf(const Deed& deed, When when, uint32_t other) {
  Calls calls = kAlways;
  calls.insert(calls.end(), deed.calls.begin(), deed.calls.end());
  auto how = when == When::kAfterThreads ? test::How::kEveryThread : test::How::kPrctl;
  return StatusOf(deed, when, test::AllowOnly(calls, other), how);
}

class Confined : public testing::TestWithParam<Deed> {};

INSTANTIATE_TEST_SUITE_P(Programs, Confined, testing::ValuesIn(test::kDeeds),
                         [](const testing::TestParamInfo<Deed>& deed) { return deed.param.name; });

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM, kKill = SECCOMP_RET_KILL_PROCESS;

TEST_P(Confined, BeforeThreadsByAFilterThatRefuses) {
  EXPECT_EQ(StatusOf(GetParam(), When::kBeforeThreads, kRefuse), 0);
}

TEST_P(Confined, BeforeThreadsByAFilterThatKills) {
  EXPECT_EQ(StatusOf(GetParam(), When::kBeforeThreads, kKill), 0);
}

TEST_P(Confined, AfterThreadsByAFilterThatRefuses) {
  EXPECT_EQ(StatusOf(GetParam(), When::kAfterThreads, kRefuse), 0);
}

TEST_P(Confined, AfterThreadsByAFilterThatKills) {
  EXPECT_EQ(StatusOf(GetParam(), When::kAfterThreads, kKill), 0);
}

// What libc can do without, or does not call.
const Calls kRefused = {SYS_preadv2,
                        SYS_pwritev2,
                        SYS_recvfrom,
                        SYS_recvmsg,
                        SYS_sendto,
                        SYS_sendmsg,
                        SYS_poll,
                        SYS_fstat,
                        SYS_fcntl,
                        SYS_getsockopt,
                        SYS_epoll_create1,
                        SYS_eventfd2,
                        SYS_epoll_ctl,
                        SYS_epoll_pwait2,
                        SYS_epoll_pwait,
                        SYS_membarrier,
                        SYS_timer_create,
                        SYS_timer_settime,
                        SYS_timer_delete,
                        SYS_tgkill,
                        SYS_getpid,
                        SYS_gettid,
                        SYS_rt_tgsigqueueinfo,
                        SYS_openat,
                        SYS_pread64,
                        SYS_close_range,
                        SYS_sched_yield,
                        SYS_madvise,
                        SYS_mincore,
                        SYS_prlimit64,
                        SYS_prctl,
                        SYS_getuid,
                        SYS_clock_gettime,
                        SYS_sigaltstack,
                        SYS_readlink,

                        SYS_set_robust_list,
                        SYS_sched_getaffinity};

void OneByOne(const Deed& deed, When when, int error) {
  for (long nr : kRefused) {
    if (std::find(deed.calls.begin(), deed.calls.end(), nr) != deed.calls.end()) continue;
    EXPECT_EQ(StatusOf(deed, when, test::RefuseOnly({nr}, error), test::How::kDirectly), 0) << "without call " << nr;
  }
}

TEST_P(Confined, ByOneRefusedCallThatNobodySees) {
  OneByOne(GetParam(), When::kBeforeThreads, EPERM);
}

TEST_P(Confined, ByOneCallThatTheKernelDoesNotHave) {
  OneByOne(GetParam(), When::kBeforeThreads, ENOSYS);
}

// A thread is in the call, or on its way there, as the filter comes.
int StatusOfReaders(const char* name, uint32_t other) {
  const Deed* deed = std::find_if(std::begin(test::kDeeds), std::end(test::kDeeds),
                                  [name](const Deed& d) { return strcmp(d.name, name) == 0; });
  Calls calls = kAlways;
  calls.insert(calls.end(), deed->calls.begin(), deed->calls.end());
  Deed confined = *deed;
  static std::vector<sock_filter> filter;
  filter = test::AllowOnly(calls, other);
  static ssize_t (*write_it)(int, const void*, size_t);
  if (!deed->run()) return -1;  // sets what it reads and writes by
  write_it = test::g_write;
  test::g_write = [](int fd, const void* buf, size_t size) {
    return test::Install(filter, test::How::kEveryThread) ? write_it(fd, buf, size) : -1;
  };
  confined.run = test::Transfer;
  return test::StatusOfChild(confined, false, [] { return true; });
}

TEST(ConfinedReaders, GoOnUnderAFilterThatRefuses) {
  test::Prepare(test::kDeeds[0]);
  for (const char* name : {"Reading", "Polling", "PollingMasked", "Selecting"})
    EXPECT_EQ(StatusOfReaders(name, kRefuse), 0) << name;
}

TEST(ConfinedReaders, GoOnUnderAFilterThatKills) {
  test::Prepare(test::kDeeds[0]);
  for (const char* name : {"Reading", "Polling", "PollingMasked", "Selecting"})
    EXPECT_EQ(StatusOfReaders(name, kKill), 0) << name;
}

}  // namespace
