// SPDX-License-Identifier: Apache-2.0
// Robust mutexes whose owners die with them: of every type and protocol, private and shared, by every end of a thread,
// with and without others that wait; and every way of locking by which the next owner, or main after the join, learns
// of it. Then they go round many times, and are made consistent or not.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <list>
#include <string>

#include "threads.h"

namespace {

struct Kind {
  int type, protocol, shared;
};

enum End { kReturns, kExits, kIsCancelled, kEnds };
enum Way { kLock, kTryLock, kTimedLock, kClockLock, kCondWait, kWays };
const char* const kEndNames[] = {"returns", "exits", "is cancelled"};
const char* const kWayNames[] = {"lock", "trylock", "timedlock", "clocklock", "cond_wait"};

int wrong = 0;
void Check(int answer, int expected, const Kind& kind, const char* what, const char* who) {
  if (answer == expected) return;
  ++wrong;
  printf("type %d protocol %d shared %d, %s, %s: %s, not %s\n", kind.type, kind.protocol, kind.shared, what, who,
         strerrorname_np(answer), strerrorname_np(expected));
}

class Mutex {
 public:
  explicit Mutex(const Kind& kind) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, kind.type);
    pthread_mutexattr_setprotocol(&attr, kind.protocol);
    pthread_mutexattr_setpshared(&attr, kind.shared);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    Expect(pthread_mutex_init(&mutex, &attr) == 0, "pthread_mutex_init");
    pthread_mutexattr_destroy(&attr);
  }
  ~Mutex() { pthread_mutex_destroy(&mutex); }
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  pthread_mutex_t mutex;
};

timespec Soon(clockid_t clock) {
  timespec end;
  clock_gettime(clock, &end);
  end.tv_sec += 20;
  return end;
}

int Take(pthread_mutex_t* m, Way way) {
  timespec end;
  switch (way) {
    case kTryLock:
      return pthread_mutex_trylock(m);
    case kTimedLock:
      end = Soon(CLOCK_REALTIME);
      return pthread_mutex_timedlock(m, &end);
    case kClockLock:
      end = Soon(CLOCK_MONOTONIC);
      return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &end);
    default:
      return pthread_mutex_lock(m);
  }
}

void Die(End end) {
  if (end == kExits) pthread_exit(nullptr);
  if (end == kIsCancelled) {
    pthread_cancel(pthread_self());
    pthread_testcancel();
  }
}

// Main learns of it after the join, whichever way it looks.
void AfterJoin(const Kind& kind, End end, Way way) {
  Mutex m(kind);
  Thread([&] {
    pthread_mutex_lock(&m.mutex);
    Die(end);
  });
  Check(Take(&m.mutex, way), EOWNERDEAD, kind, kEndNames[end], kWayNames[way]);
  pthread_mutex_consistent(&m.mutex);
  Check(pthread_mutex_unlock(&m.mutex), 0, kind, kEndNames[end], "unlock");
  Check(pthread_mutex_trylock(&m.mutex), 0, kind, kEndNames[end], "trylock, consistent");
  pthread_mutex_unlock(&m.mutex);
}

// Left inconsistent, it is lost for all. (glibc's timed functions may wait for such a one.)
void Lost(const Kind& kind, End end) {
  Mutex m(kind);
  Thread([&] {
    pthread_mutex_lock(&m.mutex);
    Die(end);
  });
  Check(pthread_mutex_lock(&m.mutex), EOWNERDEAD, kind, kEndNames[end], "lock");
  pthread_mutex_unlock(&m.mutex);
  for (const Way way : {kLock, kTryLock})
    Check(Take(&m.mutex, way), ENOTRECOVERABLE, kind, "inconsistent", kWayNames[way]);
}

// Each of a crowd dies with it in turn; the first gets it from the living.
void GoesRound(const Kind& kind, Way way) {
  constexpr int kCrowd = 6;
  Mutex m(kind);
  std::atomic<int> living{0}, dead{0}, other{0};
  std::list<Thread> crowd;
  pthread_mutex_lock(&m.mutex);
  for (int i = 0; i < kCrowd; ++i)
    crowd.emplace_back([&, i] {
      const int answer = Take(&m.mutex, way);
      ++(answer == 0 ? living : answer == EOWNERDEAD ? dead : other);
      if (answer == EOWNERDEAD) pthread_mutex_consistent(&m.mutex);
      Die(static_cast<End>(i % kEnds));
    });
  pthread_mutex_unlock(&m.mutex);
  for (Thread& t : crowd) t.Join();
  if (living != 1 || dead != kCrowd - 1 || other != 0) {
    ++wrong;
    printf("type %d protocol %d shared %d, %s: %d from the living, %d from the dead, %d failed\n", kind.type,
           kind.protocol, kind.shared, kWayNames[way], living.load(), dead.load(), other.load());
  }
  Check(pthread_mutex_trylock(&m.mutex), EOWNERDEAD, kind, "went round", "trylock");
  pthread_mutex_consistent(&m.mutex);
  pthread_mutex_unlock(&m.mutex);
}

// The same with waiters at a condition variable.
void GoesRoundAtCond(const Kind& kind) {
  constexpr int kCrowd = 5;
  Mutex m(kind);
  pthread_cond_t cond;
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setpshared(&attr, kind.shared);
  pthread_cond_init(&cond, &attr);
  int waiting = 0, living = 0, dead = 0;
  bool go = false;
  std::list<Thread> crowd;
  for (int i = 0; i < kCrowd; ++i)
    crowd.emplace_back([&, i] {
      pthread_mutex_lock(&m.mutex);
      ++waiting;
      int answer = 0;
      while (!go && answer == 0) answer = pthread_cond_wait(&cond, &m.mutex);
      if (answer == EOWNERDEAD) {
        ++dead;
        pthread_mutex_consistent(&m.mutex);
      } else {
        ++living;
      }
      Die(static_cast<End>(i % kEnds));
    });
  for (bool all = false; !all;) {
    pthread_mutex_lock(&m.mutex);
    all = waiting == kCrowd;
    if (all) {
      go = true;
      pthread_cond_broadcast(&cond);
    }
    pthread_mutex_unlock(&m.mutex);
    sched_yield();
  }
  for (Thread& t : crowd) t.Join();
  if (living != 1 || dead != kCrowd - 1) {
    ++wrong;
    printf("type %d protocol %d shared %d, at a condition: %d from the living, %d from the dead\n", kind.type,
           kind.protocol, kind.shared, living, dead);
  }
  pthread_cond_destroy(&cond);
}

// Many at once die with a thread, and those of a detached one go on, too.
void Many(const Kind& kind) {
  constexpr int kMutexes = 50;
  std::list<Mutex> mutexes;
  for (int i = 0; i < kMutexes; ++i) mutexes.emplace_back(kind);
  Thread([&] {
    for (Mutex& m : mutexes) pthread_mutex_lock(&m.mutex);
  });
  for (Mutex& m : mutexes) Check(pthread_mutex_trylock(&m.mutex), EOWNERDEAD, kind, "many", "trylock");
  for (Mutex& m : mutexes) {
    pthread_mutex_consistent(&m.mutex);
    pthread_mutex_unlock(&m.mutex);
  }
  pthread_t detached;
  pthread_create(
      &detached, nullptr,
      [](void* all) -> void* {
        for (Mutex& m : *static_cast<std::list<Mutex>*>(all)) pthread_mutex_lock(&m.mutex);
        pthread_detach(pthread_self());
        return nullptr;
      },
      &mutexes);
  for (Mutex& m : mutexes) {
    int answer;
    while ((answer = pthread_mutex_lock(&m.mutex)) == 0) {
      pthread_mutex_unlock(&m.mutex);
      sched_yield();
    }
    Check(answer, EOWNERDEAD, kind, "many of a detached one", "lock");
    pthread_mutex_consistent(&m.mutex);
    pthread_mutex_unlock(&m.mutex);
  }
}

}  // namespace

int main() {
  alarm(50);
  int kinds = 0;
  for (const int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK})
    for (const int protocol : {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT})
      for (const int shared : {PTHREAD_PROCESS_PRIVATE, PTHREAD_PROCESS_SHARED}) {
        const Kind kind{type, protocol, shared};
        ++kinds;
        for (int end = 0; end < kEnds; ++end) {
          for (int way = 0; way < kCondWait; ++way) AfterJoin(kind, static_cast<End>(end), static_cast<Way>(way));
          Lost(kind, static_cast<End>(end));
        }
        for (int round = 0; round < 5; ++round) {
          GoesRound(kind, kLock);
          GoesRound(kind, kTimedLock);
          GoesRound(kind, kClockLock);
          GoesRoundAtCond(kind);
        }
        Many(kind);
      }
  printf("%d kinds, %d wrong\n", kinds, wrong);
  return wrong != 0;
}
