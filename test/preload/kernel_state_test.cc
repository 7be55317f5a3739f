// SPDX-License-Identifier: Apache-2.0
// What Linux keeps for each thread stays with the thread that set it, wherever it waits; threads that it makes inherit
// what they would natively; nobody else sees it, nor a thread that comes after. Needs root for some: who is not root
// sees those refused.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::SleepMs;
using test::Thread;

// 0, or what went wrong.
int Error(long result) {
  return result == -1 ? errno : 0;
}

// Gives `install` a filter that refuses getppid.
int Refuse(int (*install)(const sock_fprog&)) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return install({.len = 4, .filter = filter});
}
int SetSeccomp() {
  return Refuse(
      [](const sock_fprog& program) { return Error(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)); });
}
int SetSeccompByPrctl() {
  return Refuse(
      [](const sock_fprog& program) { return Error(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)); });
}
bool HasSeccomp() {
  return syscall(SYS_getppid) == -1;
}

int SetLandlock() {
  landlock_ruleset_attr attr{};
  attr.handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE;
  const long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
  if (fd < 0) return errno;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const int error = Error(syscall(SYS_landlock_restrict_self, fd, 0));
  close(static_cast<int>(fd));
  return error;
}
bool HasLandlock() {
  const int fd = open("/dev/null", O_WRONLY);
  if (fd >= 0) close(fd);
  return fd < 0;
}

__user_cap_header_struct g_caps_header{_LINUX_CAPABILITY_VERSION_3, 0};
int SetCaps() {
  __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &g_caps_header, data) != 0) return errno;
  if ((data[0].effective & 1u << CAP_CHOWN) == 0) return EPERM;
  data[0].effective &= ~(1u << CAP_CHOWN);
  return Error(syscall(SYS_capset, &g_caps_header, data));
}
bool HasCaps() {
  __user_cap_data_struct data[2];
  syscall(SYS_capget, &g_caps_header, data);
  return (data[0].effective & 1u << CAP_CHOWN) == 0;
}

struct Attributes {  // struct sched_attr
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
int SetBatch() {
  Attributes a{};
  a.size = sizeof a;
  a.policy = SCHED_BATCH;
  return Error(syscall(SYS_sched_setattr, 0, &a, 0));
}

constexpr int kIoWhoProcess = 1;
constexpr long kIdleIo = 3L << 13;
constexpr long kSetGs = 0x1001, kGetGs = 0x1004;

// Whoever runs the tests may have been nice already.
const int kNiceAtStart = getpriority(PRIO_PROCESS, 0);

struct State {
  const char* name;
  int (*set)();
  bool (*has)();
  bool inherited = true;
};

const State kStates[] = {
    {"Seccomp", SetSeccomp, HasSeccomp},
    {"SeccompByPrctl", SetSeccompByPrctl, HasSeccomp},
    {"NoNewPrivs", [] { return Error(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); },
     [] { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1; }},
    {"NoNewPrivsByNumber", [] { return Error(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); },
     [] { return syscall(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1; }},
    {"Landlock", SetLandlock, HasLandlock},
    {"Capabilities", SetCaps, HasCaps},
    {"Keepcaps", [] { return Error(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)); },
     [] { return prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0) == 1; }},
    {"Securebits", [] { return Error(prctl(PR_SET_SECUREBITS, 1, 0, 0, 0)); },
     [] { return prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 1; }},
    {"BoundingSet", [] { return Error(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0)); },
     [] { return prctl(PR_CAPBSET_READ, CAP_MKNOD, 0, 0, 0) == 0; }},
    {"TimerSlack", [] { return Error(prctl(PR_SET_TIMERSLACK, 77'777, 0, 0, 0)); },
     [] { return prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == 77'777; }},
    {"ParentSDeath", [] { return Error(prctl(PR_SET_PDEATHSIG, SIGURG, 0, 0, 0)); },
     [] {
       int sig = 0;
       prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0);
       return sig == SIGURG;
     },
     false},
    {"Personality", [] { return Error(personality(ADDR_NO_RANDOMIZE)); },
     [] { return (personality(0xffffffff) & ADDR_NO_RANDOMIZE) != 0; }},
    {"Nice", [] { return nice(3) == -1 ? errno : 0; }, [] { return getpriority(PRIO_PROCESS, 0) == kNiceAtStart + 3; }},
    {"Setpriority", [] { return Error(setpriority(PRIO_PROCESS, 0, kNiceAtStart + 4)); },
     [] { return getpriority(PRIO_PROCESS, 0) == kNiceAtStart + 4; }},
    {"setprioritybyitsnumber",
     [] { return Error(setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNiceAtStart + 4)); },
     [] { return getpriority(PRIO_PROCESS, 0) == kNiceAtStart + 4; }},
    {"IOPriority", [] { return Error(syscall(SYS_ioprio_set, kIoWhoProcess, 0, kIdleIo)); },
     [] { return syscall(SYS_ioprio_get, kIoWhoProcess, 0) == kIdleIo; }},
    {"PolicyByAttributes", SetBatch, [] { return sched_getscheduler(0) == SCHED_BATCH; }},
    {"GsBase", [] { return Error(syscall(SYS_arch_prctl, kSetGs, 0x10'0000)); },
     [] {
       long base = 0;
       syscall(SYS_arch_prctl, kGetGs, &base);
       return base == 0x10'0000;
     }},
    {"FileSystem", [] { return unshare(CLONE_FS) != 0 || chdir("/dev") != 0 ? errno : 0; },
     [] { return access("null", F_OK) == 0; }},
};

// Whether all looks of the caller, which waits and moves between them, say `expected`.
bool Always(const State& state, bool expected) {
  for (int i = 0; i < 20; ++i) {
    if (state.has() != expected) return false;
    if (i % 4 == 0) SleepMs(1);
    sched_yield();
  }
  return true;
}

enum Finding { kRight, kLost, kLeaked, kToMain, kNotInherited, kToALaterThread, kRefused = 50 };

// A thread sets it; three others, main, a thread that it makes and those that come later look. Each in a process of its
// own, for natively what main has it cannot give back.
int InOneOfSeveral(const State& state) {
  if (state.has()) return kRefused;
  Gate set, looked;
  std::atomic<int> finding{kRight};
  auto find = [&](bool right, Finding wrong) {
    if (!right) finding = wrong;
  };
  {
    std::vector<Thread> others;
    for (int i = 0; i < 3; ++i)
      others.emplace_back([&]() -> void* {
        set.Wait();
        if (finding != kRefused) find(Always(state, false), kLeaked);
        return nullptr;
      });
    Thread setter([&]() -> void* {
      if (state.set() != 0) finding = kRefused;
      set.Open();
      if (finding == kRefused) return nullptr;
      find(Always(state, true), kLost);
      Thread([&]() -> void* {
        find(Always(state, state.inherited), kNotInherited);
        return nullptr;
      });
      looked.Wait();
      find(Always(state, true), kLost);
      return nullptr;
    });
    set.Wait();
    if (finding != kRefused) find(Always(state, false), kToMain);
    looked.Open();
  }
  if (finding != kRight) return finding;
  for (int i = 0; i < 20 && finding == kRight; ++i)
    Thread([&]() -> void* {
      find(!state.has(), kToALaterThread);
      return nullptr;
    });
  find(Always(state, false), kToMain);
  return finding;
}

// Main sets it while a thread lives.
int InMainOfSeveral(const State& state) {
  if (state.has()) return kRefused;
  Gate set, end;
  std::atomic<int> finding{kRight};
  Thread other([&]() -> void* {
    set.Wait();
    if (finding != kRefused && !Always(state, false)) finding = kLeaked;
    end.Wait();
    return nullptr;
  });
  if (state.set() != 0) finding = kRefused;
  set.Open();
  if (finding == kRight) {
    if (!Always(state, true)) finding = kLost;
    Thread([&]() -> void* {
      if (!Always(state, state.inherited)) finding = kNotInherited;
      return nullptr;
    });
  }
  end.Open();
  return finding;
}

// Main sets it when its threads have ended: it is alone, as at first.
int InMainAlone(const State& state) {
  if (state.has()) return kRefused;
  Thread([]() -> void* { return nullptr; });
  if (state.set() != 0) return kRefused;
  if (!Always(state, true)) return kLost;
  std::atomic<int> finding{kRight};
  for (int i = 0; i < 10 && finding == kRight; ++i)
    Thread([&]() -> void* {
      if (state.has() != state.inherited) finding = kNotInherited;
      return nullptr;
    });
  return Always(state, true) ? finding.load() : kLost;
}

class KernelState : public testing::TestWithParam<State> {
 protected:
  void Expect(int (*look)(const State&)) {
    const int status = test::RunChild([&] { return look(GetParam()); });
    if (test::Exited(status, kRefused)) GTEST_SKIP() << "for want of the right, or of the kernel's support";
    EXPECT_TRUE(test::Exited(status, kRight)) << GetParam().name << ": " << status;
  }
};

TEST_P(KernelState, StaysWithTheThreadThatSetIt) {
  Expect(InOneOfSeveral);
}
TEST_P(KernelState, StaysWithMainBesideThreads) {
  Expect(InMainOfSeveral);
}
TEST_P(KernelState, OfMainAloneIsInheritedByAll) {
  Expect(InMainAlone);
}

INSTANTIATE_TEST_SUITE_P(All, KernelState, testing::ValuesIn(kStates),
                         [](const auto& state) { return std::string(state.param.name); });

// What needs a process of one thread works once all have been joined, and the process makes threads again.
TEST(KernelStateAlone, ANamespaceOfUsersOnceThreadsAreJoined) {
  const int status = test::RunChild([] {
    std::vector<Thread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([]() -> void* {
        SleepMs(1);
        return nullptr;
      });
    threads.clear();
    if (unshare(CLONE_NEWUSER) != 0) return errno == EPERM || errno == ENOSPC ? 50 : 10;
    return test::InThread([] { return 0; });
  });
  if (test::Exited(status, 50)) GTEST_SKIP() << "for want of namespaces of users";
  EXPECT_TRUE(test::Exited(status, 0)) << status;
}

// It stops and starts many times, beside signals for the process.
TEST(KernelStateAlone, AgainAndAgain) {
  const int status = test::RunChild([] {
    static std::atomic<int> handled;
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled; };
    sigaction(SIGUSR1, &action, nullptr);
    for (int round = 1; round <= 100; ++round) {
      Thread([]() -> void* {
        sched_yield();
        return nullptr;
      });
      if (prctl(PR_SET_TIMERSLACK, 50'000 + round, 0, 0, 0) != 0) return 10;
      int inherited = 0;
      Thread([&]() -> void* {
        inherited = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
        return nullptr;
      });
      if (inherited != 50'000 + round) return 11;
      kill(getpid(), SIGUSR1);
      if (!test::Eventually([&] { return handled == round; })) return 12;
    }
    return 0;
  });
  EXPECT_TRUE(test::Exited(status, 0)) << status;
}

}  // namespace
