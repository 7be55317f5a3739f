// SPDX-License-Identifier: Apache-2.0
// What a worker does in the storm (storm.cc), what is counted of it, and what interrupts it.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <random>

#include "chaos.h"

namespace {

constexpr int kTokens = 5;

using Random = std::minstd_rand;

// Both must be equal at the end.
struct Account {
  const char* what;
  std::atomic<int64_t> opened{0}, closed{0};
};
Account g_threads{"threads made and joined"}, g_cleanups{"cleanup handlers pushed and run"},
    g_objects{"objects made and destroyed"}, g_keys{"values of keys set and destroyed"},
    g_thread_locals{"thread_locals made and destroyed"}, g_locks{"mutexes locked and unlocked"},
    g_tokens{"tokens taken and returned"}, g_bytes{"bytes written and read"}, g_children{"children made and ended"},
    g_prepared{"fork handlers before and after"};
Account* const g_accounts[] = {&g_threads, &g_cleanups, &g_objects, &g_keys,     &g_thread_locals,
                               &g_locks,   &g_tokens,   &g_bytes,   &g_children, &g_prepared};

struct Slot {
  int index = 0;
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  bool open = false;  // lock: there is a thread that may be signalled
  pthread_t thread{};
  int64_t queued = 0;  // lock
  std::atomic<int64_t> taken{0};
  std::atomic<int64_t> progress{0};
  std::atomic<bool> cancelled{false};
};

std::atomic<bool> g_over{false};
std::atomic<int64_t> g_cancelled{0}, g_alarms{0}, g_jumps{0};
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;
sem_t g_sem;
int g_pipe[2];
pthread_key_t g_key;

sigset_t g_counted;

thread_local Slot* t_slot = nullptr;
thread_local volatile bool t_steady = false;         // it cannot be cancelled
thread_local sigjmp_buf* volatile t_jump = nullptr;  // where a handler may jump to

struct Object {
  Object() { ++g_objects.opened; }
  ~Object() { ++g_objects.closed; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

struct ThreadLocal {
  ThreadLocal() { ++g_thread_locals.opened; }
  ~ThreadLocal() { ++g_thread_locals.closed; }
  void Touch() const {}
};
thread_local ThreadLocal t_object;

class Lock {
 public:
  Lock() {
    if (pthread_mutex_lock(&g_mutex) != 0) Fail("lock");
    ++g_locks.opened;
  }
  ~Lock() {
    ++g_locks.closed;
    if (pthread_mutex_unlock(&g_mutex) != 0) Fail("unlock");
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
};

void Count(int, siginfo_t* info, void*) {
  const int error = errno;
  if (info->si_code != SI_QUEUE || info->si_value.sival_ptr != t_slot) Fail("another's signal", info->si_code);
  ++t_slot->taken;
  errno = error;
}

// What is safe in a handler, and wakes others.
void Interrupt(int) {
  if (!t_steady) return;
  const int error = errno;
  if (sigjmp_buf* jump = t_jump; jump != nullptr) {
    t_jump = nullptr;
    ++g_jumps;
    siglongjmp(*jump, 1);
  }
  const char byte = 1;
  if (write(g_pipe[1], &byte, 1) == 1) ++g_bytes.opened;
  if (g_jumps % 2 == 0) usleep(10);
  errno = error;
}

void Alarm(int) {
  ++g_alarms;
}

void Handle(int number, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  Check(sigaction(number, &action, nullptr), "sigaction");
}

timespec Soon(Random& random) {
  timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  at.tv_nsec += static_cast<long>(random() % 3'000'000);
  if (at.tv_nsec >= 1'000'000'000) {
    ++at.tv_sec;
    at.tv_nsec -= 1'000'000'000;
  }
  return at;
}

void AwaitCondition(Random& random) {
  const Lock lock;
  const Object object;
  const timespec soon = Soon(random);
  const int error = pthread_cond_timedwait(&g_cond, &g_mutex, &soon);
  if (error != 0 && error != ETIMEDOUT) Fail("pthread_cond_timedwait", error);
}

void TakeToken(Random& random) {
  const timespec soon = Soon(random);
  if (sem_timedwait(&g_sem, &soon) != 0) {
    if (errno != EINTR && errno != ETIMEDOUT) Fail("sem_timedwait");
    return;
  }
  ++g_tokens.opened;
  struct Return {
    ~Return() {
      ++g_tokens.closed;
      sem_post(&g_sem);
    }
  } const returns;
  usleep(static_cast<useconds_t>(random() % 500));
}

void ReadBytes() {
  char bytes[16];
  pollfd p = {g_pipe[0], POLLIN, 0};
  if (poll(&p, 1, 2) != 1) return;
  const ssize_t got = read(g_pipe[0], bytes, sizeof bytes);  // does not block
  if (got > 0) g_bytes.closed += got;
}

// In calls that a handler may leave by a jump, and in none that takes a lock.
void SleepAndBeLeft(Random& random) {
  sigjmp_buf here;
  if (sigsetjmp(here, 1) == 0) {
    t_jump = &here;
    const timespec a_while = {0, static_cast<long>(random() % 1'000'000)};
    if (random() % 2 == 0)
      nanosleep(&a_while, nullptr);
    else
      ppoll(nullptr, 0, &a_while, nullptr);
  }
  t_jump = nullptr;
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr);  // glibc's calls change it while they block (12683)
}

void WaitForSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  const timespec a_while = {0, 500'000};
  if (sigtimedwait(&set, nullptr, &a_while) == -1 && errno != EAGAIN && errno != EINTR) Fail("sigtimedwait");
}

void Compute(Random& random) {
  volatile unsigned sum = 0;
  for (unsigned i = random() % 100'000; i != 0; --i) sum = sum + i;
}

// In a frame of its own: code that throws nothing has no other way out when it is unwound.
__attribute__((noinline)) void ComputeAnywhere(Random& random) {
  if (pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr) != 0) Fail("pthread_setcanceltype");
  Compute(random);
  if (pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr) != 0) Fail("pthread_setcanceltype");
}

void TakeRwLock(Random& random) {
  if ((random() % 4 == 0 ? pthread_rwlock_wrlock(&g_rwlock) : pthread_rwlock_rdlock(&g_rwlock)) != 0) Fail("rwlock");
  if (random() % 2 == 0) sched_yield();
  if (pthread_rwlock_unlock(&g_rwlock) != 0) Fail("pthread_rwlock_unlock");
}

pthread_t Start(void* (*body)(void*), void* argument) {
  pthread_t thread;
  if (const int error = pthread_create(&thread, nullptr, body, argument); error != 0) Fail("pthread_create", error);
  return thread;
}

// The child has this thread alone, which is not cancelled, and makes others.
[[noreturn]] void LiveAsChild(int status) {
  alarm(60);
  int added = 0;
  const pthread_t thread = Start(
      [](void* argument) -> void* {
        usleep(100);
        ++*static_cast<int*>(argument);
        return nullptr;
      },
      &added);
  if (pthread_join(thread, nullptr) != 0) _exit(100);
  if (const pid_t grandchild = fork(); grandchild == 0) {
    _exit(status);
  } else {
    int ended = 0;
    while (waitpid(grandchild, &ended, 0) == -1)
      if (errno != EINTR) _exit(101);
    _exit(added == 1 && WIFEXITED(ended) ? WEXITSTATUS(ended) : 102);
  }
}

void Fork(Random& random) {
  const int status = static_cast<int>(random() % 50) + 1;
  const pid_t child = Check(fork(), "fork");
  if (child == 0) LiveAsChild(status);
  ++g_children.opened;
  int ended = 0;
  while (waitpid(child, &ended, 0) == -1)
    if (errno != EINTR) Fail("waitpid");
  if (!WIFEXITED(ended) || WEXITSTATUS(ended) != status) Fail("the child's status", ended, status);
  ++g_children.closed;
}

// What may be done either way.
void WorkOn(Random& random) {
  switch (random() % 9) {
    case 0:
    case 1:
      return AwaitCondition(random);
    case 2: {
      const Lock lock;
      pthread_cond_broadcast(&g_cond);
      return;
    }
    case 3:
    case 4:
      return TakeToken(random);
    case 5:
      return WaitForSignal();
    case 6:
      return TakeRwLock(random);
    case 7:
      return pthread_testcancel();
    default:
      return ComputeAnywhere(random);
  }
}

void WorkSteadily(Random& random) {
  switch (random() % 16) {
    case 0:
    case 1:
    case 2:
      return ReadBytes();
    case 3:
    case 4:
    case 5:
      return SleepAndBeLeft(random);
    case 6:
      return Fork(random);
    default:
      return WorkOn(random);
  }
}

}  // namespace
