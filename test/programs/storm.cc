// SPDX-License-Identifier: Apache-2.0
// A storm of signals, cancellations and forks: random threads, at random moments, for as long as it is to last. In the
// end every thread is accounted for: each that was made was joined, as cancelled or not; its cleanup handlers, its
// destructors and those of its keys ran once; it took every signal that was queued for it; every lock is free, every
// token there, and every child ended as it should.
// usage: storm [SECONDS]
// test: stress=120
//
// Workers live in slots. Each is started by its slot's keeper, works until it is cancelled or has done enough, and is
// joined by the keeper. Tormentors signal and cancel whoever is in a slot; they hold the slot's lock, so that it is not
// joined meanwhile. Workers fork, too, and their children make threads.
//
// In a round a worker either cannot be cancelled, and then handlers do all that they may do, are counted and may jump;
// or it can, and then handlers do next to nothing and those that are counted wait: a thread that glibc cancels in a
// call that blocks may be in the first instruction of a handler (glibc bug 12683).
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <vector>

#include "chaos.h"

namespace {

constexpr int kSlots = 24, kTormentors = 3, kTokens = 5;
constexpr int64_t kPatienceNs = 30'000'000'000;
constexpr char kDone = 0;  // a worker's result is its address, or PTHREAD_CANCELED

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

Slot g_slots[kSlots];
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

// Closes the slot; what was queued for the thread until then has been taken.
void CleanUp(void* argument) {
  auto* slot = static_cast<Slot*>(argument);
  ++g_cleanups.closed;
  pthread_mutex_lock(&slot->lock);
  slot->open = false;
  pthread_mutex_unlock(&slot->lock);
  getppid();  // the kernel gives what is pending before it returns
  if (slot->taken != slot->queued) Fail("queued signals are missing", slot->taken, slot->queued);
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

class Steady {
 public:
  Steady() {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    t_steady = true;
  }
  ~Steady() {
    t_steady = false;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  }
  Steady(const Steady&) = delete;
  Steady& operator=(const Steady&) = delete;
};

// What is counted waits meanwhile.
class Counted {
 public:
  Counted() { pthread_sigmask(SIG_BLOCK, &g_counted, nullptr); }
  ~Counted() { pthread_sigmask(SIG_UNBLOCK, &g_counted, nullptr); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

void* Work(void* argument) {
  auto* slot = static_cast<Slot*>(argument);
  t_slot = slot;
  Random random(static_cast<unsigned>(NowNs()) | 1);
  ++g_keys.opened;
  if (pthread_setspecific(g_key, slot) != 0) Fail("pthread_setspecific");
  t_object.Touch();
  ++g_cleanups.opened;
  pthread_cleanup_push(CleanUp, slot);
  const Object object;
  pthread_mutex_lock(&slot->lock);
  slot->open = true;
  pthread_mutex_unlock(&slot->lock);
  for (unsigned rounds = random() % 200; rounds != 0 && !g_over; --rounds) {
    slot->progress.store(NowNs(), std::memory_order_relaxed);
    if (random() % 2 == 0) {
      const Steady steady;
      WorkSteadily(random);
    } else {
      const Counted counted;
      WorkOn(random);
    }
  }
  pthread_cleanup_pop(1);
  return const_cast<char*>(&kDone);
}

void* Keep(void* argument) {
  auto* slot = static_cast<Slot*>(argument);
  while (!g_over) {
    slot->queued = slot->taken = 0;
    slot->cancelled = false;
    pthread_mutex_lock(&slot->lock);
    slot->thread = Start(Work, slot);
    pthread_mutex_unlock(&slot->lock);
    ++g_threads.opened;
    void* result = nullptr;
    if (pthread_join(slot->thread, &result) != 0) Fail("pthread_join", slot->index);
    ++g_threads.closed;
    if (result == PTHREAD_CANCELED && !slot->cancelled) Fail("cancelled by nobody", slot->index);
    if (result == PTHREAD_CANCELED) ++g_cancelled;
    if (result != PTHREAD_CANCELED && result != &kDone) Fail("another's result", slot->index);
  }
  return nullptr;
}

void* Torment(void* argument) {
  Random random(static_cast<unsigned>(reinterpret_cast<intptr_t>(argument)) + 1);
  while (!g_over) {
    Slot& slot = g_slots[random() % kSlots];
    pthread_mutex_lock(&slot.lock);
    if (slot.open) {
      const sigval value = {.sival_ptr = &slot};
      switch (random() % 16) {
        case 0:
          slot.cancelled = true;
          if (pthread_cancel(slot.thread) != 0) Fail("pthread_cancel", slot.index);
          break;
        case 1:
        case 2:
        case 3:
          pthread_kill(slot.thread, SIGUSR2);
          break;
        case 4:
        case 5:
          pthread_kill(slot.thread, SIGUSR1);
          break;
        default:
          if (pthread_sigqueue(slot.thread, SIGRTMIN + 1, value) == 0) ++slot.queued;
      }
    }
    pthread_mutex_unlock(&slot.lock);
    usleep(static_cast<useconds_t>(random() % 300));
  }
  return nullptr;
}

void SetUp() {
  if (sem_init(&g_sem, 0, kTokens) != 0 || pipe2(g_pipe, O_NONBLOCK) != 0) Fail("sem_init, pipe2");
  if (pthread_key_create(&g_key, [](void*) { ++g_keys.closed; }) != 0) Fail("pthread_key_create");
  if (pthread_atfork([] { ++g_prepared.opened; }, [] { ++g_prepared.closed; }, nullptr) != 0) Fail("pthread_atfork");
  Handle(SIGUSR1, Interrupt, SA_RESTART);
  Handle(SIGUSR2, Interrupt, 0);
  Handle(SIGALRM, Alarm, SA_RESTART);
  struct sigaction action = {};
  action.sa_sigaction = Count;
  sigfillset(&action.sa_mask);  // no jump out of it
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  Check(sigaction(SIGRTMIN + 1, &action, nullptr), "sigaction");
  sigemptyset(&g_counted);
  sigaddset(&g_counted, SIGRTMIN + 1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const itimerval often = {{0, 3000}, {0, 3000}};
  Check(setitimer(ITIMER_REAL, &often, nullptr), "setitimer");
}

void SettleAccounts() {
  char byte;
  while (read(g_pipe[0], &byte, 1) == 1) ++g_bytes.closed;
  for (const Account* account : g_accounts)
    if (account->opened != account->closed) Fail(account->what, account->opened, account->closed);
  int tokens = -1;
  if (sem_getvalue(&g_sem, &tokens) != 0 || tokens != kTokens) Fail("tokens left", tokens);
  if (pthread_mutex_trylock(&g_mutex) != 0 || pthread_rwlock_trywrlock(&g_rwlock) != 0) Fail("a lock is held");
  if (g_alarms == 0) Fail("no alarm came");
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 2;
  SetUp();
  const int64_t end = NowNs() + static_cast<int64_t>(seconds * 1e9);
  std::vector<pthread_t> threads;
  for (int i = 0; i < kSlots; ++i) {
    g_slots[i].index = i;
    g_slots[i].progress = NowNs();
    threads.push_back(Start(Keep, &g_slots[i]));
  }
  for (intptr_t i = 0; i < kTormentors; ++i) threads.push_back(Start(Torment, reinterpret_cast<void*>(i)));
  while (NowNs() < end) {
    usleep(100'000);
    for (const Slot& slot : g_slots)
      if (NowNs() - slot.progress > kPatienceNs) Fail("a thread stands still", slot.index);
  }
  g_over = true;
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  const itimerval never = {};
  Check(setitimer(ITIMER_REAL, &never, nullptr), "setitimer");
  SettleAccounts();
  fprintf(stderr, "%lld threads, %lld cancelled, %lld children, %lld jumps\n", static_cast<long long>(g_threads.opened),
          static_cast<long long>(g_cancelled), static_cast<long long>(g_children.opened),
          static_cast<long long>(g_jumps));
  puts("every thread is accounted for");
  return 0;
}
