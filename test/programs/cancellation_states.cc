// SPDX-License-Identifier: Apache-2.0
// Cancellation of threads that are not in a cancellation point: calls that are none do not act upon it, whether they
// block or not; asynchronous, it finds the thread wherever it runs or blocks, and not while it is disabled.
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <string>

#include "../quiet.h"
#include "cancelled.h"

namespace {

// Calls that do not act upon it, without and with a wait.
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t g_spin;
pthread_barrier_t g_barrier;
pthread_once_t g_once = PTHREAD_ONCE_INIT;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
sem_t g_sem;
int g_files[2], g_pipe[2];

void CallNone() {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  const timespec past = {1, 0};
  void* result;
  pthread_mutex_lock(&g_mutex);
  pthread_mutex_timedlock(&g_mutex, &past);
  pthread_mutex_unlock(&g_mutex);
  pthread_mutex_trylock(&g_mutex);
  pthread_mutex_unlock(&g_mutex);
  pthread_rwlock_rdlock(&g_rwlock);
  pthread_rwlock_timedrdlock(&g_rwlock, &past);
  pthread_rwlock_unlock(&g_rwlock);
  pthread_rwlock_unlock(&g_rwlock);
  pthread_rwlock_wrlock(&g_rwlock);
  pthread_rwlock_timedwrlock(&g_rwlock, &past);
  pthread_rwlock_unlock(&g_rwlock);
  pthread_once(&once, [] {});
  pthread_spin_lock(&g_spin);
  pthread_spin_unlock(&g_spin);
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 1);
  pthread_barrier_wait(&barrier);
  pthread_barrier_destroy(&barrier);
  pthread_cond_signal(&g_cond);
  pthread_cond_broadcast(&g_cond);
  sched_yield();
  sem_post(&g_sem);
  sem_trywait(&g_sem);
  pthread_kill(pthread_self(), 0);
  pthread_tryjoin_np(pthread_self(), &result);
  pthread_setspecific(0, nullptr);
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, nullptr, &set);
  sigpending(&set);
  raise(0);
  kill(getpid(), 0);
  free(malloc(100));
  getppid();
  lseek(g_files[0], 0, SEEK_SET);
  fcntl(g_files[0], F_GETFL);
  flock(g_files[0], LOCK_SH);
  flock(g_files[0], LOCK_UN);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  pthread_t thread;
  pthread_create(
      &thread, nullptr, [](void* p) -> void* { return p; }, nullptr);
  pthread_detach(thread);
  SetType(PTHREAD_CANCEL_DEFERRED);
  SetState(PTHREAD_CANCEL_ENABLE);
}

struct Blocker {
  const char* name;
  void (*act)();
  void (*release)();
};
const Blocker kBlockers[] = {
    {"pthread_mutex_lock",
     [] {
       pthread_mutex_lock(&g_mutex);
       pthread_mutex_unlock(&g_mutex);
     },
     [] { pthread_mutex_unlock(&g_mutex); }},
    {"pthread_mutex_timedlock",
     [] {
       timespec later;
       clock_gettime(CLOCK_REALTIME, &later);
       later.tv_sec += 30;
       Expect(pthread_mutex_timedlock(&g_mutex, &later) == 0, "pthread_mutex_timedlock");
       pthread_mutex_unlock(&g_mutex);
     },
     [] { pthread_mutex_unlock(&g_mutex); }},
    {"pthread_rwlock_rdlock",
     [] {
       pthread_rwlock_rdlock(&g_rwlock);
       pthread_rwlock_unlock(&g_rwlock);
     },
     [] { pthread_rwlock_unlock(&g_rwlock); }},
    {"pthread_rwlock_wrlock",
     [] {
       pthread_rwlock_wrlock(&g_rwlock);
       pthread_rwlock_unlock(&g_rwlock);
     },
     [] { pthread_rwlock_unlock(&g_rwlock); }},
    {"pthread_barrier_wait", [] { pthread_barrier_wait(&g_barrier); }, [] { pthread_barrier_wait(&g_barrier); }},
    {"pthread_once",
     [] {
       pthread_once(&g_once, [] {
         while (!g_go_on) sched_yield();
       });
     },
     [] {}},
    {"pthread_spin_lock",
     [] {
       pthread_spin_lock(&g_spin);
       pthread_spin_unlock(&g_spin);
     },
     [] { pthread_spin_unlock(&g_spin); }},
    {"flock",
     [] {
       Check(flock(g_files[1], LOCK_EX), "flock");
       Check(flock(g_files[1], LOCK_UN), "flock");
     },
     [] { flock(g_files[0], LOCK_UN); }},
    {"sched_yield",
     [] {
       while (!g_go_on) sched_yield();
     },
     [] {}},
};

std::atomic<int> g_blocker, g_passed;

void NoPoints() {
  const auto none = [] {
    Cancel(pthread_self());
    CallNone();
    ++g_passed;
    g_ready = true;
    pthread_testcancel();
  };
  ExpectCancelled(Start(none), "no cancellation points");
  Expect(g_passed == 1, "a call is a cancellation point");
  const int count = static_cast<int>(std::size(kBlockers));
  for (g_blocker = 0; g_blocker < count; ++g_blocker) {
    pthread_mutex_lock(&g_mutex);
    pthread_rwlock_wrlock(&g_rwlock);
    pthread_spin_lock(&g_spin);
    Check(flock(g_files[0], LOCK_EX), "flock");
    const Blocker& blocker = kBlockers[g_blocker];
    const pthread_t thread = Start([] {
      g_ready = true;
      kBlockers[g_blocker].act();
      ++g_passed;
      for (;;) pthread_testcancel();
    });
    AwaitQuiet();
    Cancel(thread);
    AwaitQuiet();
    Expect(g_passed == g_blocker + 1, blocker.name, 2);
    g_go_on = true;
    blocker.release();
    ExpectCancelled(thread, blocker.name);
    Expect(g_passed == g_blocker + 2, blocker.name, 3);
    pthread_mutex_trylock(&g_mutex);
    pthread_mutex_unlock(&g_mutex);
    pthread_rwlock_trywrlock(&g_rwlock);
    pthread_rwlock_unlock(&g_rwlock);
    pthread_spin_trylock(&g_spin);
    pthread_spin_unlock(&g_spin);
    Check(flock(g_files[0], LOCK_UN), "flock");
  }
}

// Where it runs and where it blocks, if asynchronous; in frames of their own, see storm.cc.
std::atomic<pid_t> g_child{0};
void (*const kAnywhere[])() = {
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      for (;;) g_ready = true;
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      for (;;) sched_yield();
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      syscall(SYS_flock, g_files[1], LOCK_EX);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      flock(g_files[1], LOCK_EX);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      syscall(SYS_wait4, g_child.load(), nullptr, 0, nullptr);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      syscall(SYS_read, g_pipe[0], &g_child, 1);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      sem_wait(&g_sem);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      for (;;) usleep(100);
    },
};

void Anywhere() {
  Check(flock(g_files[0], LOCK_EX), "flock");
  if ((g_child = Check(fork(), "fork")) == 0) {
    alarm(60);
    for (;;) pause();
  }
  for (const auto act : kAnywhere)
    for (const useconds_t later : {0U, 2000U}) {
      const pthread_t thread = Start(act);
      usleep(later);
      Cancel(thread);
      ExpectCancelled(thread, "an asynchronous cancellation");
    }
  // Asynchronous and disabled: nothing, until it is enabled.
  const pthread_t thread = Start([] {
    int old;
    SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
    SetState(PTHREAD_CANCEL_DISABLE);
    g_ready = true;
    while (!g_go_on) g_ready = true;
    Expect(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0 && old == PTHREAD_CANCEL_ASYNCHRONOUS, "type");
    ++g_passed;
    SetState(PTHREAD_CANCEL_ENABLE);
    for (;;) g_ready = true;
  });
  g_passed = 0;
  Cancel(thread);
  AwaitQuiet();
  g_go_on = true;
  ExpectCancelled(thread, "a cancellation that was disabled");
  Expect(g_passed == 1 && pthread_setcancelstate(7, nullptr) == EINVAL && pthread_setcanceltype(7, nullptr) == EINVAL,
         "disabled");
  kill(g_child, SIGKILL);
  waitpid(g_child, nullptr, 0);
  Check(flock(g_files[0], LOCK_UN), "flock");
}

}  // namespace

int main() {
  Check(pipe(g_pipe), "pipe");
  sem_init(&g_sem, 0, 0);
  pthread_spin_init(&g_spin, 0);
  pthread_barrier_init(&g_barrier, nullptr, 2);
  Check(g_files[0] = memfd_create("locked", 0), "memfd_create");
  const std::string path = "/proc/self/fd/" + std::to_string(g_files[0]);
  Check(g_files[1] = open(path.c_str(), O_RDWR), "open");
  RunParts({{"calls that are no cancellation points", NoPoints}, {"asynchronous cancellation", Anywhere}});
  return 0;
}
