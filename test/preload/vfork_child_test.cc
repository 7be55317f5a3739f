// SPDX-License-Identifier: Apache-2.0
// What a child of vfork does to what the kernel keeps for a process acts in the child, and its parent sees none of it,
// although the two share memory. Each action is tried from main and from a thread, in a process with threads, by vfork
// and by clone(CLONE_VM | CLONE_VFORK).
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "util.h"

namespace test {
namespace {

constexpr int kSig = SIGUSR1;
constexpr int kPipe = 0, kOut = 1;

std::atomic<int> handled;
void OnSignal(int) {
  ++handled;
}
void OnSignalInChild(int) {
  _exit(77);
}
void OnSignalWithInfo(int, siginfo_t*, void*) {
  ++handled;
}

int ends[2];
char stack_memory[64 * 1024];

struct sigaction Action(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  return action;
}

bool Blocked(int sig) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, sig) == 1;
}

void Block(int how, int sig) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  pthread_sigmask(how, &set, nullptr);
}

void* Handler(int sig) {
  struct sigaction present;
  sigaction(sig, nullptr, &present);
  return reinterpret_cast<void*>(present.sa_handler);
}

// What the child does; 0: it acted there.
struct Deed {
  const char* name;
  int (*in_child)();
};

#define ACTS(condition) \
  if (!(condition)) return __LINE__ % 90 + 1

const Deed kDeeds[] = {
    {"DefaultAction",
     [] {
       signal(kSig, SIG_DFL);
       ACTS(Handler(kSig) == SIG_DFL);
       Block(SIG_UNBLOCK, kSig);
       kill(getpid(), kSig);
       return 99;  // not reached: it kills
     }},
    {"ResetsAllHandlers",
     [] {
       for (int sig = 1; sig < NSIG; ++sig) {
         struct sigaction present, standard = Action(SIG_DFL);
         if (sigaction(sig, nullptr, &present) != 0) continue;
         if (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN) sigaction(sig, &standard, nullptr);
       }
       ACTS(Handler(kSig) == SIG_DFL);
       return 0;
     }},
    {"Ignores",
     [] {
       signal(kSig, SIG_IGN);
       Block(SIG_UNBLOCK, kSig);
       raise(kSig);
       ACTS(Handler(kSig) == SIG_IGN);
       return 0;
     }},
    {"HandlerOfItsOwn",
     [] {
       struct sigaction action = Action(OnSignalInChild), old;
       ACTS(sigaction(kSig, &action, &old) == 0);
       ACTS(old.sa_handler == OnSignal);
       ACTS(Handler(kSig) == reinterpret_cast<void*>(OnSignalInChild));
       Block(SIG_UNBLOCK, kSig);
       kill(getpid(), kSig);
       return 98;
     }},
    {"HandlerOfItsParent",
     [] {
       const int before = handled;
       Block(SIG_UNBLOCK, kSig);
       kill(getpid(), kSig);
       ACTS(handled == before + 1);
       handled = before;
       return 0;
     }},
    {"AnotherSignalsHandler",
     [] {
       struct sigaction action {};
       action.sa_sigaction = OnSignalWithInfo;
       action.sa_flags = SA_SIGINFO | SA_RESETHAND;
       ACTS(sigaction(SIGWINCH, &action, nullptr) == 0);
       const int before = handled;
       raise(SIGWINCH);
       ACTS(handled == before + 1);
       ACTS(Handler(SIGWINCH) == SIG_DFL);
       handled = before;
       return 0;
     }},
    {"Mask",
     [] {
       sigset_t all;
       sigfillset(&all);
       ACTS(sigprocmask(SIG_SETMASK, &all, nullptr) == 0);
       ACTS(Blocked(SIGHUP));
       kill(getpid(), SIGHUP);
       sigset_t pending;
       sigpending(&pending);
       ACTS(sigismember(&pending, SIGHUP) == 1);
       int sig = 0;
       ACTS(sigwait(&pending, &sig) == 0 && sig == SIGHUP);
       sigemptyset(&all);
       sigprocmask(SIG_SETMASK, &all, nullptr);
       ACTS(!Blocked(SIGHUP));
       return 0;
     }},
    {"Suspends",
     [] {
       const int before = handled;
       Block(SIG_BLOCK, kSig);
       kill(getpid(), kSig);
       sigset_t none;
       sigemptyset(&none);
       ACTS(sigsuspend(&none) == -1 && errno == EINTR);
       ACTS(handled == before + 1);
       handled = before;
       return 0;
     }},
    {"AlternateStack",
     [] {
       stack_t none{}, old;
       none.ss_flags = SS_DISABLE;
       ACTS(sigaltstack(&none, &old) == 0 && old.ss_sp == stack_memory);
       ACTS(sigaltstack(nullptr, &old) == 0 && (old.ss_flags & SS_DISABLE) != 0);
       return 0;
     }},
    {"Descriptors",
     [] {
       const int null = open("/dev/null", O_RDWR);
       ACTS(dup2(null, ends[kPipe]) == ends[kPipe]);
       close(ends[kOut]);
       ACTS(fcntl(ends[kOut], F_GETFD) == -1);
       ACTS(write(ends[kPipe], "x", 1) == 1);
       close(null);
       int more[2];
       ACTS(pipe2(more, O_NONBLOCK) == 0);
       closefrom(3);
       return 0;
     }},
    {"Limits",
     [] {
       rlimit limit{};
       getrlimit(RLIMIT_CORE, &limit);
       limit.rlim_cur = limit.rlim_max == 0 ? 0 : limit.rlim_max - 1;
       ACTS(setrlimit(RLIMIT_CORE, &limit) == 0);
       return 0;
     }},
    {"Priority",
     [] {
       ACTS(setpriority(PRIO_PROCESS, 0, 7) == 0);
       ACTS(getpriority(PRIO_PROCESS, 0) == 7);
       return 0;
     }},
    {"Nice",
     [] {
       ACTS(nice(5) == 5);
       return 0;
     }},
    {"Policy",
     [] {
       sched_param param{};
       ACTS(sched_setscheduler(0, SCHED_BATCH, &param) == 0);
       ACTS(sched_getscheduler(0) == SCHED_BATCH);
       return 0;
     }},
    {"Affinity",
     [] {
       cpu_set_t cpus;
       ACTS(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
       int first = 0;
       while (!CPU_ISSET(first, &cpus)) ++first;
       CPU_ZERO(&cpus);
       CPU_SET(first, &cpus);
       ACTS(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
       ACTS(sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1);
       return 0;
     }},
    {"Name",
     [] {
       ACTS(prctl(PR_SET_NAME, "the child") == 0);
       char name[16] = {};
       ACTS(prctl(PR_GET_NAME, name) == 0 && std::string(name) == "the child");
       return 0;
     }},
    {"KernelState",
     [] {
       ACTS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
       ACTS(prctl(PR_SET_TIMERSLACK, 60'000, 0, 0, 0) == 0);
       ACTS(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) == 60'000);
       return 0;
     }},
    {"Folder",
     [] {
       ACTS(chdir("/dev") == 0);
       umask(077);
       return 0;
     }},
    {"Session",
     [] {
       ACTS(setsid() == getpid());
       return 0;
     }},
    {"Sleeps",
     [] {
       timespec moment{0, 1'000'000};
       ACTS(nanosleep(&moment, nullptr) == 0);
       ACTS(usleep(1000) == 0);
       pollfd nothing{-1, 0, 0};
       ACTS(poll(&nothing, 1, 1) == 0);
       return 0;
     }},
    {"IsInterrupted",
     [] {
       struct sigaction action {};
       action.sa_handler = [](int) {};
       ACTS(sigaction(SIGALRM, &action, nullptr) == 0);
       itimerval soon{{0, 0}, {0, 20'000}};
       ACTS(setitimer(ITIMER_REAL, &soon, nullptr) == 0);
       timespec long_time{20, 0};
       ACTS(nanosleep(&long_time, nullptr) == -1 && errno == EINTR);
       return 0;
     }},
    {"FailsToExecute",
     [] {
       char* const none[] = {nullptr};
       execve("/nowhere", none, environ);
       ACTS(errno == ENOENT);
       execlp("nowhere-to-be-found", "x", nullptr);
       ACTS(errno == ENOENT);
       return 0;
     }},
    {"ItsOwnChildren",
     [] {
       const pid_t child = vfork();
       if (child == 0) {
         signal(kSig, SIG_IGN);
         _exit(4);
       }
       int status = 0;
       ACTS(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 4);
       ACTS(Handler(kSig) == reinterpret_cast<void*>(OnSignal));
       const pid_t forked = fork();
       if (forked == 0) {
         pthread_t thread;
         void* result = nullptr;
         if (pthread_create(
                 &thread, nullptr, [](void* a) { return a; }, &result) != 0)
           _exit(5);
         pthread_join(thread, &result);
         _exit(6);
       }
       ACTS(waitpid(forked, &status, 0) == forked && WEXITSTATUS(status) == 6);
       return 0;
     }},
};

// Natively, too, this much is the parent's.
struct View {
  void* handlers[NSIG];
  sigset_t mask{};
  stack_t stack{};
  int fd_flags = 0, nice = 0, policy = 0, cpus = 0, slack = 0, privileges = 0;
  rlimit core{};
  char name[16] = {};

  View() {
    for (int sig = 1; sig < NSIG; ++sig) handlers[sig] = sig == 32 || sig == 33 ? nullptr : Handler(sig);
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
  Block(SIG_BLOCK, kSig);
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
  Block(SIG_UNBLOCK, kSig);
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
}  // namespace test
