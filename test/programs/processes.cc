// SPDX-License-Identifier: Apache-2.0
// Processes that threads make, and replace by other programs, while other threads compute, allocate, print and hold
// locks: fork and its handlers, vfork, posix_spawn, system, popen, daemon and exec. What a program finds that is this
// one again (`processes report`), it writes in one line. How processes end: process_ends.cc.
#include <fcntl.h>
#include <spawn.h>

#include "processes.h"

namespace {

constexpr int kFirst = 50, kLast = 53;  // descriptors that are reported
constexpr char kSelf[] = "/proc/self/exe";

// --- fork

// What a child does: it is alone, all locks are free, and it makes threads and children of its own.
void LiveOn(int depth) {
  const int64_t ticks = g_ticks;
  const pid_t me = getpid(), parent = getppid();
  for (pthread_mutex_t& lock : g_locks)
    if (pthread_mutex_trylock(&lock) != 0 || pthread_mutex_unlock(&lock) != 0) Fail("a lock is held in the child");
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;  // new: a copy of one that is waited for is of no use
  int turn = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      pthread_mutex_lock(&g_locks[0]);
      while (turn != i) pthread_cond_wait(&cond, &g_locks[0]);
      if (getpid() != me || getppid() != parent) Fail("a thread of another process");
      fprintf(g_null, "%s\n", std::string(1000, 'x').c_str());
      ++turn;
      pthread_cond_broadcast(&cond);
      pthread_mutex_unlock(&g_locks[0]);
      if (depth > 0) Expect("a child's child", Wait(Fork([&] { LiveOn(depth - 1), _exit(40 + i); })), 40 + i);
    });
  }
  threads.clear();
  if (g_ticks != ticks) Fail("a thread of the parent's runs in its child");
}

void ForkFromMainAndThreads() {
  const Busy busy(8);
  for (int i = 0; i < 4; ++i) Expect("main's child", Wait(Fork([] { LiveOn(1), _exit(30); })), 30);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([i] { Expect("a thread's child", Wait(Fork([i] { LiveOn(1), _exit(31 + i); })), 31 + i); });
}

void ManyForksAtOnce() {
  const Busy busy(4);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      for (int j = 0; j < 20; ++j) {
        const pid_t child = Fork([&] {
          int sum = 0;
          std::jthread([&] { sum = i + j; }).join();
          fprintf(g_null, "%s\n", std::string(100, 'x').c_str());
          _exit(sum);
        });
        Expect("one of many children", Wait(child), i + j);
      }
    });
  }
}

void DoubleFork() {
  Pipe pipe;
  const Busy busy;
  std::jthread([&] {
    const pid_t child = Fork([&] {
      const pid_t middle = getpid();
      if (Check(fork(), "fork") != 0) _exit(12);
      alarm(kChildSeconds);
      Await([&] { return getppid() != middle; }, "another parent");
      std::jthread([&] { dprintf(pipe.in(), getppid() != middle ? "adopted" : "not adopted"); }).join();
    });
    Expect("the child between", Wait(child), 12);
  }).join();
  ExpectText("the grandchild", pipe.Read(), "adopted");
}

// --- other programs

struct Letter {
  int number;
  char letter;
};
constexpr Letter kSignals[] = {{SIGHUP, 'h'}, {SIGUSR1, 'a'}, {SIGUSR2, 'b'}, {SIGTERM, 't'}};

template <class Has>
std::string Letters(Has has) {
  std::string found;
  for (const Letter& signal : kSignals)
    if (has(signal.number)) found += signal.letter;
  return found;
}

int Report() {
  sigset_t blocked, pending;
  sigprocmask(SIG_SETMASK, nullptr, &blocked);
  sigpending(&pending);
  std::string open;
  for (int fd = kFirst; fd <= kLast; ++fd)
    if (fcntl(fd, F_GETFD) != -1) open += std::to_string(fd);
  const auto ignored = [](int number) {
    struct sigaction action;
    return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
  };
  const char* word = getenv("PROCESSES_WORD");
  int checked = 0;
  std::jthread([&] { checked = getpid(); }).join();
  printf("%d %d %d: blocked %s, pending %s, ignored %s, open %s, word %s", checked, getppid(), getpgrp(),
         Letters([&](int number) { return sigismember(&blocked, number); }).c_str(),
         Letters([&](int number) { return sigismember(&pending, number); }).c_str(), Letters(ignored).c_str(),
         open.c_str(), word == nullptr ? "none" : word);
  return 5;
}

std::string Ids(pid_t pid, pid_t parent, pid_t group) {
  return std::to_string(pid) + " " + std::to_string(parent) + " " + std::to_string(group) + ": ";
}

__attribute__((noinline)) pid_t VforkAnd(int status, volatile int* shared) {
  const pid_t child = vfork();
  if (child != 0) return child;
  *shared = status;
  if (status % 2 == 0) execl("/bin/sh", "sh", "-c", "exit $0", std::to_string(status).c_str(), nullptr);
  _exit(status);
}

void Vfork() {
  const Busy busy;
  const auto make = [] {
    for (int i = 20; i < 26; ++i) {
      volatile int shared = 0;
      const pid_t child = VforkAnd(i, &shared);
      if (child <= 0 || shared != i) Fail("vfork", child, shared);
      Expect("vfork's child", Wait(child), i);
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(make);
  make();
}

void Spawn() {
  const Busy busy;
  const auto spawn = [] {
    Pipe pipe;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, pipe.in(), 1);
    posix_spawn_file_actions_addopen(&actions, kFirst, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, kFirst, kLast);
    posix_spawn_file_actions_addclose(&actions, kFirst);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigaddset(&set, SIGHUP);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    char* argv[] = {const_cast<char*>("processes"), const_cast<char*>("report"), nullptr};
    pid_t child = 0;
    Expect("posix_spawn", posix_spawn(&child, kSelf, &actions, &attributes, argv, environ), 0);
    const std::string ids = Ids(child, getpid(), child);
    ExpectText("the spawned program", pipe.Read(), ids + "blocked b, pending , ignored a, open 53, word none");
    Expect("the spawned program's status", Wait(child), 5);
    Expect("posix_spawnp", posix_spawnp(&child, "no-such-program", nullptr, &attributes, argv, environ), ENOENT);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  };
  signal(SIGHUP, SIG_IGN);
  signal(SIGUSR1, SIG_IGN);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(spawn);
  spawn();
  threads.clear();
  signal(SIGHUP, SIG_DFL);
  signal(SIGUSR1, SIG_DFL);
}

void Shells() {
  const Busy busy;
  std::vector<std::jthread> threads;
  for (int i = 1; i < 4; ++i) {
    threads.emplace_back([i] {
      const std::string text = std::to_string(i);
      const int status = system(("exit " + text).c_str());
      if (!WIFEXITED(status) || WEXITSTATUS(status) != i) Fail("system", status);
      FILE* out = popen(("echo " + text + "; kill -TERM $$").c_str(), "r");
      FILE* in = popen("read word; exit $word", "w");
      if (out == nullptr || in == nullptr) Fail("popen");
      char line[20] = {};
      ExpectText("popen to read", fgets(line, sizeof line, out) == nullptr ? "" : line, text + "\n");
      fprintf(in, "%d\n", i);
      const int ended = pclose(in);
      if (!WIFEXITED(ended) || WEXITSTATUS(ended) != i) Fail("pclose after writing", ended);
      const int killed = pclose(out);
      if (!WIFSIGNALED(killed) || WTERMSIG(killed) != SIGTERM) Fail("pclose after reading", killed);
    });
  }
}

// The new program has the process, the descriptors that are not to be closed, the environment, the thread's mask and
// what is pending for the process; nothing of the other threads.
void ExecFromThread() {
  Pipe pipe;
  const pid_t child = Fork([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    const Busy busy;
    std::jthread([&] {
      sigset_t set;
      sigemptyset(&set);
      for (const int number : {SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, number);
      kill(getpid(), SIGUSR1);
      pthread_sigmask(SIG_SETMASK, &set, nullptr);
      signal(SIGTERM, SIG_IGN);
      signal(SIGHUP, [](int) {});
      setenv("PROCESSES_WORD", "said", 1);
      if (dup2(pipe.in(), 1) == -1 || dup2(1, kFirst) == -1 || dup3(1, kFirst + 1, O_CLOEXEC) == -1) Fail("dup");
      execl(kSelf, "processes", "report", nullptr);
      Fail("exec");
    }).join();
  });
  ExpectText("the new program", pipe.Read(),
             Ids(child, getpid(), getpgrp()) + "blocked hab, pending a, ignored t, open 50, word said");
  Expect("the new program's status", Wait(child), 5);
}

void Daemon() {
  Pipe pipe;
  const pid_t child = Fork([&] {
    const Busy busy;
    std::jthread([&] {
      const pid_t before = getpid();
      Check(daemon(0, 0), "daemon");
      alarm(kChildSeconds);
      std::jthread([&] {
        char folder[8] = {}, in[16] = {};
        const bool there = getcwd(folder, sizeof folder) != nullptr && readlink("/proc/self/fd/0", in, 15) > 0;
        if (!there || getpid() == before || getsid(0) != getpid()) _exit(1);
        dprintf(pipe.in(), "in %s reads %s", folder, in);
      }).join();
      _exit(0);
    }).join();
  });
  ExpectText("daemon", pipe.Read(), "in / reads /dev/null");
  Expect("who made the daemon", Wait(child), 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "report") == 0) return Report();
  SetUp();
  RunParts({{"fork by main and threads, whose children fork", ForkFromMainAndThreads},
            {"many forks at once", ManyForksAtOnce},
            {"double fork", DoubleFork},
            {"vfork", Vfork},
            {"posix_spawn", Spawn},
            {"system and popen", Shells},
            {"exec", ExecFromThread},
            {"daemon", Daemon}});
  return 0;
}
