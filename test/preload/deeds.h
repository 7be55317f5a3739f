// SPDX-License-Identifier: Apache-2.0
// Small programs that do one thing each with threads, for tests of what confines a process. They need no libmn, no
// descriptors but those made by Prepare(), and say whether all was right.
#pragma once

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <ostream>
#include <vector>

namespace test {

using Calls = std::vector<long>;

inline void* Increment(void* number) {
  ++*static_cast<std::atomic<int>*>(number);
  return nullptr;
}

inline bool Join(pthread_t t) {
  return pthread_join(t, nullptr) == 0;
}

inline bool Threads() {
  constexpr int kThreads = 20;
  std::atomic<int> ran{0};
  pthread_t threads[kThreads];
  for (pthread_t& t : threads)
    if (pthread_create(&t, nullptr, Increment, &ran) != 0) return false;
  for (pthread_t t : threads)
    if (!Join(t)) return false;
  return ran == kThreads;
}

// Threads that take turns.
struct Turns {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  std::atomic<int> next{0};
};
inline constexpr int kTakers = 4, kRounds = 50;

inline void* TakeTurns(void* arg) {
  auto* turns = static_cast<Turns*>(arg);
  int mine = turns->next++;
  for (int i = 0; i < kRounds; ++i) {
    pthread_mutex_lock(&turns->mutex);
    while (turns->turn % kTakers != mine) pthread_cond_wait(&turns->changed, &turns->mutex);
    ++turns->turn;
    pthread_cond_broadcast(&turns->changed);
    pthread_mutex_unlock(&turns->mutex);
  }
  return nullptr;
}

inline bool ConditionVariables() {
  Turns turns;
  pthread_t threads[kTakers];
  for (pthread_t& t : threads)
    if (pthread_create(&t, nullptr, TakeTurns, &turns) != 0) return false;
  for (pthread_t t : threads)
    if (!Join(t)) return false;
  return turns.turn == kTakers * kRounds;
}

inline bool Semaphores() {
  struct Pair {
    sem_t there, back;
  } pair;
  sem_init(&pair.there, 0, 0);
  sem_init(&pair.back, 0, 0);
  pthread_t t;
  auto answer = [](void* arg) -> void* {
    auto* p = static_cast<Pair*>(arg);
    for (int i = 0; i < kRounds; ++i) {
      sem_wait(&p->there);
      sem_post(&p->back);
    }
    return nullptr;
  };
  if (pthread_create(&t, nullptr, answer, &pair) != 0) return false;
  for (int i = 0; i < kRounds; ++i) {
    sem_post(&pair.there);
    sem_wait(&pair.back);
  }
  return Join(t);
}

inline bool Sleeps() {
  pthread_t t;
  auto sleeper = [](void* arg) -> void* {
    timespec ms{0, 1000000};
    *static_cast<int*>(arg) = nanosleep(&ms, nullptr);
    return nullptr;
  };
  int result = -1;
  timespec ms{0, 1000000};
  return pthread_create(&t, nullptr, sleeper, &result) == 0 && nanosleep(&ms, nullptr) == 0 && Join(t) && result == 0;
}

inline bool TimedWaits() {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  pthread_mutex_lock(&mutex);
  int error = pthread_cond_timedwait(&never, &mutex, &at);
  pthread_mutex_unlock(&mutex);
  return error == ETIMEDOUT;
}

// A thread that computes for longer than any turn, until another has run.
inline bool Computing() {
  struct Two {
    std::atomic<int> ran{0};
    std::atomic<bool> stop{false};
  } two;
  pthread_t computing, other;
  auto compute = [](void* arg) -> void* {
    while (!static_cast<Two*>(arg)->stop) continue;
    return nullptr;
  };
  auto stop = [](void* arg) -> void* {
    static_cast<Two*>(arg)->stop = true;
    return nullptr;
  };
  return pthread_create(&computing, nullptr, compute, &two) == 0 && pthread_create(&other, nullptr, stop, &two) == 0 &&
         Join(computing) && Join(other);
}

// Descriptors are made before there is a filter.
inline int g_ends[2];
inline ssize_t (*g_read)(int, void*, size_t);
inline ssize_t (*g_write)(int, const void*, size_t);

// A thread waits for what comes while others run.
inline bool Transfer() {
  pthread_t t;
  auto reader = [](void*) -> void* {
    char byte = 0;
    return g_read(g_ends[0], &byte, 1) == 1 && byte == 'x' ? g_ends : nullptr;
  };
  if (pthread_create(&t, nullptr, reader, nullptr) != 0) return false;
  if (!ConditionVariables() || g_write(g_ends[1], "x", 1) != 1) return false;
  void* result = nullptr;
  pthread_join(t, &result);
  return result != nullptr;
}

inline bool Reading() {
  g_read = read;
  g_write = write;
  return Transfer();
}
inline bool Receiving() {
  g_read = [](int fd, void* buf, size_t size) { return recv(fd, buf, size, 0); };
  g_write = [](int fd, const void* buf, size_t size) { return send(fd, buf, size, 0); };
  return Transfer();
}
inline bool Polling() {
  g_read = [](int fd, void* buf, size_t size) -> ssize_t {
    pollfd p{fd, POLLIN, 0};
    return poll(&p, 1, -1) == 1 && (p.revents & POLLIN) != 0 ? read(fd, buf, size) : -1;
  };
  g_write = write;
  return Transfer();
}
inline bool PollingMasked() {
  g_read = [](int fd, void* buf, size_t size) -> ssize_t {
    pollfd p{fd, POLLIN, 0};
    sigset_t none;
    sigemptyset(&none);
    return ppoll(&p, 1, nullptr, &none) == 1 ? read(fd, buf, size) : -1;
  };
  g_write = write;
  return Transfer();
}
inline bool Selecting() {
  g_read = [](int fd, void* buf, size_t size) -> ssize_t {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, nullptr, nullptr, nullptr) == 1 ? read(fd, buf, size) : -1;
  };
  g_write = write;
  return Transfer();
}

inline void Handler(int) {}

inline bool Signalling() {
  std::atomic<bool> stop{false};
  pthread_t t;
  auto waiter = [](void* arg) -> void* {
    while (!*static_cast<std::atomic<bool>*>(arg)) {
      timespec ms{0, 1000000};
      nanosleep(&ms, nullptr);
    }
    return nullptr;
  };
  if (pthread_create(&t, nullptr, waiter, &stop) != 0) return false;
  bool sent = true;
  for (int i = 0; i < kRounds; ++i) sent &= pthread_kill(t, SIGUSR1) == 0;
  stop = true;
  return Join(t) && sent;
}

inline bool Cancelling() {
  pthread_t t;
  auto forever = [](void*) -> void* {
    timespec hour{3600, 0};
    for (;;) nanosleep(&hour, nullptr);
  };
  void* result = nullptr;
  return pthread_create(&t, nullptr, forever, nullptr) == 0 && pthread_cancel(t) == 0 &&
         pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED;
}

inline bool Masking() {
  pthread_t t;
  auto mask = [](void*) -> void* {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    for (int i = 0; i < kRounds; ++i) {
      pthread_sigmask(SIG_BLOCK, &set, nullptr);
      sched_yield();
      pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    }
    return nullptr;
  };
  return pthread_create(&t, nullptr, mask, nullptr) == 0 && ConditionVariables() && Join(t);
}

inline bool OwnStack() {
  constexpr size_t kSize = 256 * 1024;
  static char stack[kSize] __attribute__((aligned(4096)));
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstack(&attr, stack, kSize);
  std::atomic<int> ran{0};
  pthread_t t;
  return pthread_create(&t, &attr, Increment, &ran) == 0 && Join(t) && ran == 1;
}

struct Deed {
  const char* name;
  bool (*run)();
  Calls calls;  // that it needs beside
  bool sockets = false;
};

inline const Deed kDeeds[] = {
    {"Threads", Threads, {}},
    {"OwnStack", OwnStack, {}},
    {"ConditionVariables", ConditionVariables, {}},
    {"Semaphores", Semaphores, {}},
    {"Sleeps", Sleeps, {SYS_clock_nanosleep}},
    {"TimedWaits", TimedWaits, {}},
    {"Computing", Computing, {}},
    {"Reading", Reading, {SYS_read, SYS_write}},
    {"ReadingSockets", Reading, {SYS_read, SYS_write}, true},
    {"Receiving", Receiving, {SYS_recvfrom, SYS_sendto}, true},
    {"Polling", Polling, {SYS_poll, SYS_read, SYS_write}},
    {"PollingMasked", PollingMasked, {SYS_ppoll, SYS_read, SYS_write}},
    {"Selecting", Selecting, {SYS_pselect6, SYS_read, SYS_write}},
    {"Signalling", Signalling, {SYS_tgkill, SYS_getpid, SYS_gettid, SYS_clock_nanosleep, SYS_rt_sigreturn}},
    {"Cancelling",
     Cancelling,
     {SYS_tgkill, SYS_getpid, SYS_gettid, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_clock_nanosleep, SYS_openat, SYS_read,
      SYS_fstat, SYS_newfstatat, SYS_pread64, SYS_close, SYS_readlink}},
    {"Masking", Masking, {SYS_sched_yield}},
};

inline std::ostream& operator<<(std::ostream& out, const Deed& deed) {
  return out << deed.name;
}

// Makes what a deed needs before the process is confined.
inline bool Prepare(const Deed& deed) {
  struct sigaction action {};
  action.sa_handler = Handler;
  sigaction(SIGUSR1, &action, nullptr);
  return (deed.sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, g_ends) : pipe(g_ends)) == 0;
}

// The status of a child that confines itself and then does the deed: 0 if all was right.
template <class Confine>
int StatusOfChild(const Deed& deed, bool deed_before, Confine confine) {
  pid_t child = fork();
  if (child == 0) {
    if (!Prepare(deed) || !(!deed_before || deed.run())) _exit(3);
    if (!confine()) _exit(2);
    _exit(deed.run() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace test
