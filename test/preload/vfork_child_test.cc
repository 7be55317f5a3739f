// SPDX-License-Identifier: Apache-2.0
// What a child of vfork does to what the kernel keeps for a process acts in the child, and its parent sees none of it,
// although the two share memory. Each action is tried from main and from a thread, in a process with threads, by vfork
// and by clone(CLONE_VM | CLONE_VFORK).
#include <sched.h>
#include <sys/mman.h>

#include <string>

#include "vfork_deeds.h"

namespace test::in_child {
namespace {

// Natively, too, this much is the parent's.
struct View {
  void* handlers[NSIG];
  sigset_t mask{};
  stack_t stack{};
  int fd_flags = 0, nice = 0, policy = 0, cpus = 0, slack = 0, privileges = 0;
  rlimit core{};
  char name[16] = {};

  View() {
    for (int sig = 1; sig < NSIG; ++sig) handlers[sig] = sig == 32 || sig == 33 ? nullptr : HandlerOf(sig);
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    sigaltstack(nullptr, &stack);
    fd_flags = fcntl(ends[kPipe], F_GETFD) + 10 * fcntl(ends[kOut], F_GETFD);
    nice = getpriority(PRIO_PROCESS, 0);
    policy = sched_getscheduler(0);
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    cpus = CPU_COUNT(&set);
    slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    getrlimit(RLIMIT_CORE, &core);
    prctl(PR_GET_NAME, name);
  }
  void ExpectSame(const View& now) const {
    for (int sig = 1; sig < NSIG; ++sig) EXPECT_EQ(handlers[sig], now.handlers[sig]) << sig;
    for (int sig = 1; sig < NSIG; ++sig) EXPECT_EQ(sigismember(&mask, sig), sigismember(&now.mask, sig)) << sig;
    EXPECT_EQ(stack.ss_sp, now.stack.ss_sp);
    EXPECT_EQ(stack.ss_flags, now.stack.ss_flags);
    EXPECT_EQ(fd_flags, now.fd_flags);
    EXPECT_EQ(nice, now.nice);
    EXPECT_EQ(policy, now.policy);
    EXPECT_EQ(cpus, now.cpus);
    EXPECT_EQ(slack, now.slack);
    EXPECT_EQ(privileges, now.privileges);
    EXPECT_EQ(core.rlim_cur, now.core.rlim_cur);
    EXPECT_STREQ(name, now.name);
  }
};

int DoDeed(void* deed) {
  return static_cast<const Deed*>(deed)->in_child();
}

pid_t ByVfork(const Deed& deed) {
  const pid_t child = vfork();
  if (child == 0) _exit(DoDeed(const_cast<Deed*>(&deed)));
  return child;
}

pid_t ByClone(const Deed& deed) {
  constexpr size_t kBytes = 256 * 1024;
  void* stack = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int child =
      clone(DoDeed, static_cast<char*>(stack) + kBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, const_cast<Deed*>(&deed));
  munmap(stack, kBytes);
  return child;
}

void Try(const Deed& deed, pid_t (*by)(const Deed&)) {
  struct sigaction action = Action(OnSignal);
  sigaction(kSig, &action, nullptr);
  Mask(SIG_BLOCK, kSig);
  stack_t alternate{};
  alternate.ss_sp = stack_memory;
  alternate.ss_size = sizeof stack_memory;
  ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
  ASSERT_EQ(pipe(ends), 0);
  handled = 0;
  const View before;
  const int status = WaitFor(by(deed));
  const std::string name = deed.name;
  if (name == "DefaultAction")
    EXPECT_TRUE(Killed(status, kSig)) << status;
  else
    EXPECT_TRUE(Exited(status, name == "HandlerOfItsOwn" ? 77 : 0)) << status;
  before.ExpectSame(View());
  EXPECT_EQ(handled, 0);
  // The handler and the mask act, too, as if there had been no child.
  EXPECT_EQ(pthread_kill(pthread_self(), kSig), 0);
  EXPECT_EQ(handled, 0);
  Mask(SIG_UNBLOCK, kSig);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(write(ends[kOut], "y", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(ends[kPipe], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  close(ends[kPipe]);
  close(ends[kOut]);
  alternate.ss_flags = SS_DISABLE;
  sigaltstack(&alternate, nullptr);
}

class VforkChild : public testing::TestWithParam<Deed> {};

TEST_P(VforkChild, LeavesItsParentAlone) {
  HereAndInAThread([] { Try(GetParam(), ByVfork); });
}
TEST_P(VforkChild, MadeByCloneToo) {
  HereAndInAThread([] { Try(GetParam(), ByClone); });
}

INSTANTIATE_TEST_SUITE_P(All, VforkChild, testing::ValuesIn(kDeeds),
                         [](const auto& deed) { return std::string(deed.param.name); });

}  // namespace
}  // namespace test::in_child
