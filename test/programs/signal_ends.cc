// SPDX-License-Identifier: Apache-2.0
// How processes end of signals, whichever thread takes them; how they stop and go on, and what their parent is told.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "threads.h"

namespace {

// Each ends in a child, in main (0) or in a thread (1).
struct End {
  const char* what;
  int number;
  void (*act)();
};
volatile int* volatile g_null = nullptr;
volatile int g_zero = 0;
const End kEnds[] = {
    {"kill", SIGTERM, [] { kill(getpid(), SIGTERM); }},
    {"raise", SIGINT, [] { raise(SIGINT); }},
    {"pthread_kill", SIGUSR2, [] { pthread_kill(pthread_self(), SIGUSR2); }},
    {"sigqueue", SIGRTMIN + 9, [] { sigqueue(getpid(), SIGRTMIN + 9, sigval{0}); }},
    {"SIGKILL", SIGKILL, [] { raise(SIGKILL); }},
    {"abort", SIGABRT, [] { abort(); }},
    {"abort, blocked", SIGABRT,
     [] {
       Mask(SIG_BLOCK, {SIGABRT});
       abort();
     }},
    {"abort, ignored", SIGABRT,
     [] {
       signal(SIGABRT, SIG_IGN);
       abort();
     }},
    {"abort, handled", SIGABRT,
     [] {
       signal(SIGABRT, [](int) {});
       abort();
     }},
    {"a fault", SIGSEGV, [] { *g_null = 1; }},
    {"a fault, blocked", SIGSEGV,
     [] {
       Mask(SIG_BLOCK, {SIGSEGV});
       *g_null = 1;
     }},
    {"a fault, ignored", SIGSEGV,
     [] {
       signal(SIGSEGV, SIG_IGN);
       *g_null = 1;
     }},
    {"division", SIGFPE, [] { g_zero = 77 / g_zero; }},
    {"SA_RESETHAND", SIGUSR1,
     [] {
       Handle(SIGUSR1, Note, static_cast<int>(SA_RESETHAND));
       raise(SIGUSR1);
       raise(SIGUSR1);
     }},
    {"alarm", SIGALRM, [] { ualarm(1000, 0); }},
    {"unblocked", SIGHUP,
     [] {
       Mask(SIG_BLOCK, {SIGHUP});
       pthread_kill(pthread_self(), SIGHUP);
       Mask(SIG_UNBLOCK, {SIGHUP});
     }},
};

[[noreturn]] void LiveAsChild(const End& end, bool in_thread) {
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  for (int number = 1; number <= SIGRTMAX; ++number) signal(number, SIG_DFL);
  alarm(60);
  Thread other([] { sleep(40); });
  if (in_thread) {
    Thread([&] {
      end.act();
      sleep(40);
    }).Join();
  } else {
    end.act();
    sleep(40);
  }
  _exit(3);
}

void Ends() {
  std::vector<pid_t> children;
  for (const End& end : kEnds)
    for (const bool in_thread : {false, true}) {
      children.push_back(Check(fork(), "fork"));
      if (children.back() == 0) LiveAsChild(end, in_thread);
    }
  for (size_t i = 0; i < children.size(); ++i) {
    const End& end = kEnds[i / 2];
    int status = 0;
    Check(waitpid(children[i], &status, 0), "waitpid");
    if (!WIFSIGNALED(status) || WTERMSIG(status) != end.number || WCOREDUMP(status)) Fail(end.what, status, i % 2);
  }
  // Threads stop and go on together. One waits to be told, for SIGCONT discards what is to stop it again.
  int go[2];
  Check(pipe(go), "pipe");
  const pid_t child = Check(fork(), "fork");
  if (child == 0) {
    setpgid(0, 0);  // what nobody could continue does not stop
    const auto await = [&](char byte) { Expect(read(go[0], &byte, 1) == 1, "read"); };
    Thread([&] {
      await(0);
      raise(SIGSTOP);
      await(0);
      kill(getpid(), SIGTSTP);
      await(0);
      pthread_kill(pthread_self(), SIGTTIN);
      await(0);
    }).Join();
    _exit(4);
  }
  int status = 0;
  for (const int number : {SIGSTOP, SIGTSTP, SIGTTIN}) {
    Expect(write(go[1], "", 1) == 1, "write");
    Expect(waitpid(child, &status, WUNTRACED | WCONTINUED) == child && WIFSTOPPED(status), "stop", number);
    Expect(WSTOPSIG(status) == number, "stopped by", WSTOPSIG(status), number);
    kill(child, SIGCONT);
    Expect(waitpid(child, &status, WUNTRACED | WCONTINUED) == child && WIFCONTINUED(status), "continue", number);
  }
  Expect(write(go[1], "", 1) == 1, "write");
  Expect(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 4, "its end", status);
}

void Children() {
  // Of children: stops are told but with SA_NOCLDSTOP, and they leave no status with SA_NOCLDWAIT.
  static std::atomic<int> stops, goes, ends;
  const auto count = [](int, siginfo_t* info, void*) {
    ++(info->si_code == CLD_STOPPED ? stops : info->si_code == CLD_CONTINUED ? goes : ends);
  };
  for (const int flags : {0, SA_NOCLDSTOP, SA_NOCLDWAIT}) {
    stops = goes = ends = 0;
    Handle(SIGCHLD, count, flags | SA_RESTART);
    const pid_t child = Check(fork(), "fork");
    if (child == 0)
      for (;;) pause();
    int status = 0;
    if (flags != SA_NOCLDWAIT) {
      kill(child, SIGSTOP);
      Expect(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "stop");
      Await([&] { return stops == (flags == 0 ? 1 : 0); }, "a stop is told");
      kill(child, SIGCONT);
      Expect(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status), "continue");
      Await([&] { return goes == (flags == 0 ? 1 : 0); }, "a continuation is told");
    }
    kill(child, SIGTERM);
    if (flags == SA_NOCLDWAIT)
      Expect(waitpid(child, &status, 0) == -1 && errno == ECHILD, "SA_NOCLDWAIT");
    else
      Expect(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "its end");
    Await([&] { return ends == 1; }, "the end is told");
    Expect(stops == goes && stops == (flags == 0 ? 1 : 0), "stops", stops, goes);
  }
  signal(SIGCHLD, SIG_DFL);
}

}  // namespace

int main() {
  RunParts({{"children end of signals", Ends}, {"their parent is told", Children}});
  return 0;
}
