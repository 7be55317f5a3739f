// SPDX-License-Identifier: Apache-2.0
// What vfork_child_test.cc has a child of vfork do: each deed changes something that the kernel keeps for a process,
// and checks in the child that the change acts there.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <string>

#include "signals.h"

// Beside deeds.h, which has Deeds of another kind.
namespace test::in_child {

inline constexpr int kSig = SIGUSR1;
inline constexpr int kPipe = 0, kOut = 1;

inline void OnSignal(int) {
  ++handled;
}
inline void OnSignalInChild(int) {
  _exit(77);
}
inline void OnSignalWithInfo(int, siginfo_t*, void*) {
  ++handled;
}

inline int ends[2];
inline char stack_memory[64 * 1024];

inline struct sigaction Action(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  return action;
}

inline void* HandlerOf(int sig) {
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

inline const Deed kDeeds[] = {
    {"DefaultAction",
     [] {
       signal(kSig, SIG_DFL);
       ACTS(HandlerOf(kSig) == SIG_DFL);
       Mask(SIG_UNBLOCK, kSig);
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
       ACTS(HandlerOf(kSig) == SIG_DFL);
       return 0;
     }},
    {"Ignores",
     [] {
       signal(kSig, SIG_IGN);
       Mask(SIG_UNBLOCK, kSig);
       raise(kSig);
       ACTS(HandlerOf(kSig) == SIG_IGN);
       return 0;
     }},
    {"HandlerOfItsOwn",
     [] {
       struct sigaction action = Action(OnSignalInChild), old;
       ACTS(sigaction(kSig, &action, &old) == 0);
       ACTS(old.sa_handler == OnSignal);
       ACTS(HandlerOf(kSig) == reinterpret_cast<void*>(OnSignalInChild));
       Mask(SIG_UNBLOCK, kSig);
       kill(getpid(), kSig);
       return 98;
     }},
    {"HandlerOfItsParent",
     [] {
       const int before = handled;
       Mask(SIG_UNBLOCK, kSig);
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
       ACTS(HandlerOf(SIGWINCH) == SIG_DFL);
       handled = before;
       return 0;
     }},
    {"Mask",
     [] {
       sigset_t all;
       sigfillset(&all);
       ACTS(sigprocmask(SIG_SETMASK, &all, nullptr) == 0);
       ACTS(IsBlocked(SIGHUP));
       kill(getpid(), SIGHUP);
       sigset_t pending;
       sigpending(&pending);
       ACTS(sigismember(&pending, SIGHUP) == 1);
       int sig = 0;
       ACTS(sigwait(&pending, &sig) == 0 && sig == SIGHUP);
       sigemptyset(&all);
       sigprocmask(SIG_SETMASK, &all, nullptr);
       ACTS(!IsBlocked(SIGHUP));
       return 0;
     }},
    {"Suspends",
     [] {
       const int before = handled;
       Mask(SIG_BLOCK, kSig);
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
       const int nicer = getpriority(PRIO_PROCESS, 0) + 7;
       ACTS(setpriority(PRIO_PROCESS, 0, nicer) == 0);
       ACTS(getpriority(PRIO_PROCESS, 0) == nicer);
       return 0;
     }},
    {"Nice",
     [] {
       const int nicer = getpriority(PRIO_PROCESS, 0) + 5;
       ACTS(nice(5) == nicer);
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
       cpus = FirstOf(cpus);
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
       ACTS(HandlerOf(kSig) == reinterpret_cast<void*>(OnSignal));
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

#undef ACTS

}  // namespace test::in_child
