// SPDX-License-Identifier: Apache-2.0
// Two processes share mutexes of every kind, condition variables, a reader-writer lock, a barrier and semaphores, with
// threads on both sides; the other process is this program anew, without preloaded libraries: the kernel's threads.
// Owners of robust mutexes die in every way. Then priorities, CPUs, CPU clocks and names of threads.
// usage: shared_objects
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <list>
#include <string>

#include "threads.h"

namespace {

constexpr int kSide = 3, kTurns = 150, kRounds = 40, kKinds = 8, kSharedFd = 200;

void Ok(int error, const char* what) {
  if (error != 0) Fail(what, error);
}

struct Kind {
  int type, protocol, robust;
};
constexpr Kind kMutexKinds[kKinds] = {
    {PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED},
    {PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED},
    {PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED},
    {PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST},
    {PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED},
    {PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST},
    {PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST},
    {PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST},
};

struct Shared {
  pthread_mutex_t mutexes[kKinds];
  int64_t counts[kKinds];
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int turn;
  pthread_rwlock_t rwlock;
  int64_t pair[2];
  pthread_barrier_t barrier;
  std::atomic<int> arrived, serial;
  sem_t ping, pong;
  pthread_mutex_t orphans[2];
  sem_t held, waits;
};
Shared* g_shared;

void InitMutex(pthread_mutex_t* mutex, const Kind& kind) {
  pthread_mutexattr_t attr;
  Ok(pthread_mutexattr_init(&attr), "mutexattr");
  Ok(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), "setpshared");
  Ok(pthread_mutexattr_settype(&attr, kind.type), "settype");
  Ok(pthread_mutexattr_setprotocol(&attr, kind.protocol), "setprotocol");
  Ok(pthread_mutexattr_setrobust(&attr, kind.robust), "setrobust");
  Ok(pthread_mutex_init(mutex, &attr), "pthread_mutex_init");
}

void Init() {
  for (int i = 0; i < kKinds; ++i) InitMutex(&g_shared->mutexes[i], kMutexKinds[i]);
  InitMutex(&g_shared->mutex, kMutexKinds[0]);
  InitMutex(&g_shared->orphans[0], kMutexKinds[3]);
  InitMutex(&g_shared->orphans[1], kMutexKinds[5]);
  pthread_condattr_t cond;
  Ok(pthread_condattr_init(&cond), "condattr");
  Ok(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED), "setpshared");
  Ok(pthread_cond_init(&g_shared->cond, &cond), "pthread_cond_init");
  pthread_rwlockattr_t rwlock;
  Ok(pthread_rwlockattr_init(&rwlock), "rwlockattr");
  Ok(pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED), "setpshared");
  Ok(pthread_rwlock_init(&g_shared->rwlock, &rwlock), "pthread_rwlock_init");
  pthread_barrierattr_t barrier;
  Ok(pthread_barrierattr_init(&barrier), "barrierattr");
  Ok(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED), "setpshared");
  Ok(pthread_barrier_init(&g_shared->barrier, &barrier, 2 * kSide), "pthread_barrier_init");
  for (sem_t* sem : {&g_shared->ping, &g_shared->pong, &g_shared->held, &g_shared->waits})
    Check(sem_init(sem, 1, 0), "sem_init");
}

void OnThreads(int count, const std::function<void(int)>& body) {
  std::list<Thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
}

// --- what both sides do at once

void CountUnderEveryMutex(int) {
  OnThreads(kSide, [](int) {
    for (int i = 0; i < kTurns * kKinds; ++i) {
      const int kind = i % kKinds;
      pthread_mutex_t* mutex = &g_shared->mutexes[kind];
      Ok(pthread_mutex_lock(mutex), "lock");
      if (kMutexKinds[kind].type == PTHREAD_MUTEX_RECURSIVE) Ok(pthread_mutex_lock(mutex), "lock again");
      if (kMutexKinds[kind].type == PTHREAD_MUTEX_ERRORCHECK && pthread_mutex_lock(mutex) != EDEADLK) Fail("EDEADLK");
      const int64_t seen = g_shared->counts[kind];
      if (i % 7 == 0) sched_yield();
      g_shared->counts[kind] = seen + 1;
      if (kMutexKinds[kind].type == PTHREAD_MUTEX_RECURSIVE) Ok(pthread_mutex_unlock(mutex), "unlock");
      Ok(pthread_mutex_unlock(mutex), "unlock");
    }
  });
}

// All threads of both sides in turn, each waiting for its own.
void TakeTurns(int side) {
  OnThreads(kSide, [side](int index) {
    const int me = side * kSide + index;
    Ok(pthread_mutex_lock(&g_shared->mutex), "lock");
    for (int round = 0; round < kRounds; ++round) {
      while (g_shared->turn != round * 2 * kSide + me) Ok(pthread_cond_wait(&g_shared->cond, &g_shared->mutex), "wait");
      ++g_shared->turn;
      Ok(pthread_cond_broadcast(&g_shared->cond), "broadcast");
    }
    Ok(pthread_mutex_unlock(&g_shared->mutex), "unlock");
  });
}

void ReadAndWrite(int) {
  OnThreads(kSide, [](int index) {
    for (int i = 0; i < kTurns; ++i) {
      const bool writes = (i + index) % 3 == 0;
      Ok(writes ? pthread_rwlock_wrlock(&g_shared->rwlock) : pthread_rwlock_rdlock(&g_shared->rwlock), "rwlock");
      if (g_shared->pair[0] != g_shared->pair[1]) Fail("a writer was seen at work");
      if (writes) {
        ++g_shared->pair[0];
        sched_yield();
        ++g_shared->pair[1];
      }
      Ok(pthread_rwlock_unlock(&g_shared->rwlock), "unlock");
    }
  });
}

void MeetAtTheBarrier(int) {
  OnThreads(kSide, [](int) {
    for (int round = 1; round <= kRounds; ++round) {
      ++g_shared->arrived;
      const int result = pthread_barrier_wait(&g_shared->barrier);
      if (result == PTHREAD_BARRIER_SERIAL_THREAD) ++g_shared->serial;
      if (result != PTHREAD_BARRIER_SERIAL_THREAD) Ok(result, "pthread_barrier_wait");
      if (g_shared->arrived < round * 2 * kSide) Fail("left the barrier early", round);
      pthread_barrier_wait(&g_shared->barrier);
    }
  });
}

void PingPong(int side) {
  char name[64];
  snprintf(name, sizeof name, "/shared_objects.%d", side == 0 ? getpid() : getppid());
  sem_t* named = sem_open(name, O_CREAT, 0600, 0);
  if (named == SEM_FAILED) Fail("sem_open");
  OnThreads(1, [side, named](int) {
    for (int i = 0; i < kTurns; ++i) {
      Check(sem_post(side == 0 ? &g_shared->ping : &g_shared->pong), "sem_post");
      Check(sem_wait(side == 0 ? &g_shared->pong : &g_shared->ping), "sem_wait");
      Check(side == 0 ? sem_post(named) : sem_wait(named), "the named semaphore");
    }
  });
  Check(sem_close(named), "sem_close");
  if (side == 0) Check(sem_unlink(name), "sem_unlink");
}

constexpr struct {
  const char* name;
  void (*both)(int side);
} kParts[] = {{"mutexes", CountUnderEveryMutex},
              {"condition variables", TakeTurns},
              {"rwlock", ReadAndWrite},
              {"barrier", MeetAtTheBarrier},
              {"semaphores", PingPong}};

// The other process: this program, with the kernel's threads. `what` is the number of a part, or a mutex to die with.
pid_t StartOther(const char* what, int number) {
  const pid_t child = Check(fork(), "fork");
  if (child != 0) return child;
  unsetenv("LD_PRELOAD");
  const std::string argument = std::to_string(number);
  execl("/proc/self/exe", "shared_objects", what, argument.c_str(), nullptr);
  Fail("execl");
}

void WaitFor(pid_t child, int wanted) {
  int status = 0;
  while (waitpid(child, &status, 0) == -1)
    if (errno != EINTR) Fail("waitpid");
  if (status != wanted) Fail("the other process ended otherwise", status, wanted);
}

// The owner is killed, or its thread or process ends, while a thread here and one there wait.
void DieWith(int number) {
  pthread_mutex_t* mutex = &g_shared->orphans[number / 2];
  Thread([mutex] {
    Ok(pthread_mutex_lock(mutex), "lock");
    sem_post(&g_shared->held);
  }).Join();  // a thread's end does not end the process's: it is the mutex's owner that has died
  if (number % 2 == 1) raise(SIGKILL);
}

void InheritFromTheDead() {
  for (int number = 0; number < 4; ++number) {
    pthread_mutex_t* mutex = &g_shared->orphans[number / 2];
    std::atomic<int> learnt{0};
    const pid_t other = StartOther("die", number);
    while (sem_wait(&g_shared->held) == -1) continue;
    OnThreads(2, [&](int) {
      const int error = pthread_mutex_lock(mutex);
      if (error == EOWNERDEAD) {
        ++learnt;
        Ok(pthread_mutex_consistent(mutex), "pthread_mutex_consistent");
      } else {
        Ok(error, "lock of a dead owner's");
      }
      Ok(pthread_mutex_unlock(mutex), "unlock");
    });
    WaitFor(other, number % 2 == 1 ? SIGKILL : 0);
    if (learnt != 1) Fail("who learnt of the death", learnt, number);
  }
  for (pthread_mutex_t& mutex : g_shared->orphans) {
    std::atomic<bool> held{false};
    Thread owner([&] {
      Ok(pthread_mutex_lock(&mutex), "lock");
      held = true;
      usleep(2000);
    });
    while (!held) sched_yield();
    Thread waiter([&] {
      if (pthread_mutex_lock(&mutex) != EOWNERDEAD) Fail("EOWNERDEAD");
      Ok(pthread_mutex_unlock(&mutex), "unlock");  // as it is: not consistent
    });
    owner.Join();
    waiter.Join();
    if (pthread_mutex_lock(&mutex) != ENOTRECOVERABLE) Fail("ENOTRECOVERABLE");
  }
}

// --- threads' own

void HavePriorities() {
  pthread_mutexattr_t attr;
  pthread_mutex_t mutex;
  Ok(pthread_mutexattr_init(&attr), "mutexattr");
  Ok(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT), "setprotocol");
  Ok(pthread_mutexattr_setprioceiling(&attr, 10), "setprioceiling");
  Ok(pthread_mutex_init(&mutex, &attr), "pthread_mutex_init");
  OnThreads(2, [&mutex](int index) {
    sched_param param = {.sched_priority = 5 + 10 * index};
    const int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
    if (error == EPERM) return;
    Ok(error, "pthread_setschedparam");
    int policy = -1;
    sched_param now{};
    Ok(pthread_getschedparam(pthread_self(), &policy, &now), "pthread_getschedparam");
    if (policy != SCHED_FIFO || now.sched_priority != param.sched_priority)
      Fail("priority", policy, now.sched_priority);
    const int locked = pthread_mutex_lock(&mutex);
    if (locked != (index == 0 ? 0 : EINVAL)) Fail("a lock under a ceiling", locked, index);
    if (locked == 0) Ok(pthread_mutex_unlock(&mutex), "unlock");
    Ok(pthread_setschedprio(pthread_self(), 3), "pthread_setschedprio");
    param.sched_priority = 0;
    Ok(pthread_setschedparam(pthread_self(), SCHED_OTHER, &param), "back to SCHED_OTHER");
  });
}

void HaveCpusClocksAndNames() {
  cpu_set_t all;
  Ok(pthread_getaffinity_np(pthread_self(), sizeof all, &all), "pthread_getaffinity_np");
  OnThreads(4, [&all](int index) {
    int cpu = 0;
    for (int left = index % CPU_COUNT(&all);; ++cpu)
      if (CPU_ISSET(cpu, &all) && left-- == 0) break;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    Ok(pthread_setaffinity_np(pthread_self(), sizeof one, &one), "pthread_setaffinity_np");
    for (int i = 0; i < 20; ++i) {
      sched_yield();
      if (sched_getcpu() != cpu) Fail("on another CPU", sched_getcpu(), cpu);
    }
    const std::string name = "thread " + std::to_string(index);
    Check(prctl(PR_SET_NAME, name.c_str()), "PR_SET_NAME");
    usleep(1000);
    char known[16] = "";
    Ok(pthread_getname_np(pthread_self(), known, sizeof known), "pthread_getname_np");
    if (known != name) Fail("another's name", index);
  });
  std::atomic<bool> stop{false};
  Thread sleeps([&] {
    while (!stop) usleep(1000);
  });
  clockid_t clock;
  Ok(pthread_getcpuclockid(sleeps.id, &clock), "pthread_getcpuclockid");
  OnThreads(1, [clock](int) {
    timespec mine{}, its{};
    do Check(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mine), "CLOCK_THREAD_CPUTIME_ID");
    while (mine.tv_sec == 0 && mine.tv_nsec < 100'000'000);
    Check(clock_gettime(clock, &its), "the other's clock");
    if (its.tv_sec != 0 || its.tv_nsec > 50'000'000) Fail("who sleeps used the CPU", its.tv_nsec);
  });
  stop = true;
  sleeps.Join();
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IONBF, 0);
  alarm(50);
  if (argc < 3) {
    const int fd = Check(memfd_create("shared_objects", 0), "memfd_create");
    Check(ftruncate(fd, sizeof(Shared)), "ftruncate");
    Check(dup2(fd, kSharedFd), "dup2");
  }
  g_shared = static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, kSharedFd, 0));
  if (g_shared == MAP_FAILED) Fail("mmap");
  if (argc >= 3) {
    const int number = atoi(argv[2]);
    if (strcmp(argv[1], "die") == 0)
      DieWith(number);
    else
      kParts[number].both(1);
    return 0;
  }
  Init();
  for (int i = 0; i < static_cast<int>(std::size(kParts)); ++i) {
    const pid_t other = StartOther("part", i);
    kParts[i].both(0);
    WaitFor(other, 0);
    puts(kParts[i].name);
  }
  for (const int64_t count : g_shared->counts)
    if (count != 2 * kSide * kTurns) Fail("counted under a mutex", count);
  if (g_shared->serial != kRounds) Fail("serial threads", g_shared->serial);
  InheritFromTheDead();
  puts("robust mutexes");
  HavePriorities();
  puts("priorities");
  HaveCpusClocksAndNames();
  puts("CPUs, clocks, names");
  return 0;
}
