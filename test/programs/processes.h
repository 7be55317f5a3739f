// SPDX-License-Identifier: Apache-2.0
// What processes.cc and process_ends.cc share: threads that are busy, children, and handlers of fork, whose order is
// looked at in every fork.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "chaos.h"

constexpr int kPatienceMs = 20'000, kChildSeconds = 60;

inline FILE* g_null;
inline std::atomic<int64_t> g_ticks{0};
inline pthread_mutex_t g_locks[3] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
inline thread_local char t_notes[8];  // of the handlers of this thread's fork
inline thread_local int t_noted = 0;

inline void Note(int letter) {
  if (t_noted < static_cast<int>(sizeof t_notes) - 1) t_notes[t_noted++] = static_cast<char>(letter);
}

template <int kIndex>
void HandleForks() {
  const int error = pthread_atfork([] { Note('a' + pthread_mutex_lock(&g_locks[kIndex]) + kIndex); },
                                   [] { Note('1' + pthread_mutex_unlock(&g_locks[kIndex]) + kIndex); },
                                   [] { Note('A' + pthread_mutex_unlock(&g_locks[kIndex]) + kIndex); });
  if (error != 0) Fail("pthread_atfork", error);
}

// Threads that run until it ends.
class Busy {
 public:
  explicit Busy(int threads = 4) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this, i] { Run(i % 4); });
  }
  ~Busy() { stop_ = true; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  void Run(int kind) {
    for (unsigned i = 0; !stop_; ++i, ++g_ticks) {
      if (kind == 0) {
        volatile unsigned sum = 0;
        for (unsigned j = 0; j < 50'000; ++j) sum = sum + j;
      } else if (kind == 1) {
        std::vector<std::string> words;
        for (unsigned j = 1; j < 100; ++j) words.emplace_back(j * (i % 32), 'x');
      } else if (kind == 2) {
        for (unsigned j = 0; j < 100; ++j) fprintf(g_null, "%u %s %f\n", j, "words", j / 7.0);
      } else {
        pthread_mutex_lock(&g_locks[i % 3]);
        usleep(20);
        pthread_mutex_unlock(&g_locks[i % 3]);
      }
      usleep(50);
    }
  }

  std::atomic<bool> stop_{false};
  std::vector<std::jthread> threads_;
};

class Pipe {
 public:
  Pipe() { Check(pipe2(ends_, O_CLOEXEC), "pipe2"); }
  ~Pipe() { close(ends_[0]); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int in() const { return ends_[1]; }
  // Closes this process's end, and reads until all others are closed.
  std::string Read() {
    std::string all;
    close(ends_[1]);
    for (;;) {
      char bytes[256];
      pollfd p = {ends_[0], POLLIN, 0};
      if (const int n = poll(&p, 1, kPatienceMs); n == 0) Fail("nothing in the pipe");
      const ssize_t got = read(ends_[0], bytes, sizeof bytes);
      if (got == 0) return all;
      if (got == -1 && errno != EINTR) Fail("read");
      if (got > 0) all.append(bytes, static_cast<size_t>(got));
    }
  }

 private:
  int ends_[2];
};

inline void ExpectText(const char* what, const std::string& got, const std::string& expected) {
  if (got == expected) return;
  fprintf(stderr, "got %s\nnot %s\n", got.c_str(), expected.c_str());
  Fail(what);
}

// The exit status, or minus the signal.
inline int Wait(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) != child)
    if (errno != EINTR) Fail("waitpid", child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

inline void Expect(const char* what, int got, int expected) {
  if (got != expected) Fail(what, got, expected);
}

template <class Body>
pid_t Fork(Body body) {
  const pid_t parent = getpid();
  const pthread_t self = pthread_self();
  t_noted = 0;
  const pid_t child = Check(fork(), "fork");
  t_notes[t_noted] = 0;
  ExpectText("fork handlers", t_notes, child == 0 ? "cbaABC" : "cba123");
  if (child != 0) return child;
  alarm(kChildSeconds);
  if (getpid() == parent || getppid() != parent || !pthread_equal(self, pthread_self())) Fail("not a child", getppid());
  body();
  _exit(0);
}

// First of all: what a shell may have left, and what the children of threads rely on.
inline void SetUp() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  sigset_t nothing;
  sigemptyset(&nothing);
  sigprocmask(SIG_SETMASK, &nothing, nullptr);
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGCHLD, SIGABRT}) signal(number, SIG_DFL);
  g_null = fopen("/dev/null", "w");
  if (g_null == nullptr) Fail("/dev/null");
  HandleForks<0>();
  HandleForks<1>();
  HandleForks<2>();
}
