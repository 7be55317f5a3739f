// SPDX-License-Identifier: Apache-2.0
// Tests that an object may be destroyed, overwritten and unmapped by its last user, while others are still
// on their way out: of a wait that a signal handler interrupted, or of the call that woke.
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "signals.h"

namespace {

using test::Thread;

// An object in a page of its own, which goes with it.
template <typename Object>
class Mapped {
 public:
  Mapped() : page_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  Object* get() { return static_cast<Object*>(page_); }
  // What takes its place waits for nobody.
  void Overwrite() { memset(page_, 0, kSize); }
  void Unmap() { EXPECT_EQ(munmap(page_, kSize), 0); }

 private:
  static constexpr size_t kSize = 4096;
  void* page_;
};

enum class Fate { kUnmapped, kOverwritten, kUsedAgain };
constexpr Fate kFates[] = {Fate::kUnmapped, Fate::kOverwritten, Fate::kUsedAgain};

// A handler in which its thread stays until it is let go. Posting is all it does; it spins for the rest.
std::atomic<int> in_handler, may_return;
void Stay(int) {
  const int saved = errno;
  ++in_handler;
  while (!may_return) usleep(100);
  errno = saved;
}

class LastUser : public test::Signal {
 protected:
  void SetUp() override {
    in_handler = 0;
    may_return = 0;
  }
  // Each is in the handler, and so in the midst of what it had begun to wait for, or about to.
  static void Interrupt(const std::vector<pthread_t>& threads) {
    for (const pthread_t thread : threads) EXPECT_EQ(pthread_kill(thread, SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return in_handler == static_cast<int>(threads.size()); }));
  }
};

constexpr int kFlags[] = {SA_RESTART, 0};

TEST_F(LastUser, OfABarrierWhoseOthersAreInHandlers) {
  for (const int flags : kFlags) {
    for (const Fate fate : kFates) {
      for (const int others : {1, 3}) {
        test::Handler handler(SIGUSR1, Stay, flags);
        SetUp();
        Mapped<pthread_barrier_t> barrier;
        ASSERT_EQ(pthread_barrier_init(barrier.get(), nullptr, static_cast<unsigned>(others) + 1), 0);
        std::atomic<int> arriving = 0, passed = 0;
        std::vector<Thread> threads;
        std::vector<pthread_t> ids;
        for (int i = 0; i < others; ++i) {
          threads.emplace_back([&] {
            ++arriving;
            const int result = pthread_barrier_wait(barrier.get());
            EXPECT_TRUE(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
            ++passed;
            return nullptr;
          });
          ids.push_back(threads.back().id());
        }
        EXPECT_TRUE(test::Eventually([&] { return arriving == others; }));
        test::SleepMs(2);
        Interrupt(ids);
        std::atomic<bool> through = false;
        // Natively destroy() waits until the others are out: they are let go meanwhile.
        Thread last([&] {
          pthread_barrier_wait(barrier.get());
          through = true;
          EXPECT_EQ(pthread_barrier_destroy(barrier.get()), 0);
          if (fate == Fate::kUnmapped) barrier.Unmap();
          if (fate != Fate::kUnmapped) barrier.Overwrite();
          if (fate == Fate::kUsedAgain) {
            EXPECT_EQ(pthread_barrier_init(barrier.get(), nullptr, 1), 0);
            EXPECT_EQ(pthread_barrier_wait(barrier.get()), PTHREAD_BARRIER_SERIAL_THREAD);
          }
          return nullptr;
        });
        // Those that were interrupted before they had arrived hold it up.
        for (int i = 0; i < 20 && !through; ++i) test::SleepMs(1);
        may_return = 1;
        threads.clear();
        last.Join();
        EXPECT_EQ(passed, others);
        if (fate != Fate::kUnmapped) barrier.Unmap();
      }
    }
  }
}

struct Monitor {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  bool open = false;
};

enum class How { kWait, kTimedWait, kC11 };

int WaitFor(Monitor* m, pthread_mutex_t* mutex, How how) {
  const timespec deadline = test::In(CLOCK_REALTIME, 30'000);
  if (how == How::kTimedWait) return pthread_cond_timedwait(&m->cond, mutex, &deadline);
  return pthread_cond_wait(&m->cond, mutex);
}

// The mutex lives on; the condition variable goes.
TEST_F(LastUser, OfAConditionVariableWhoseWaitersAreInHandlers) {
  for (const int flags : kFlags) {
    for (const bool broadcast : {false, true}) {
      for (const How how : {How::kWait, How::kTimedWait}) {
        test::Handler handler(SIGUSR1, Stay, flags);
        SetUp();
        Mapped<Monitor> monitor;
        Monitor* m = new (monitor.get()) Monitor;
        pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        const int waiters = broadcast ? 3 : 1;
        std::atomic<int> waiting = 0, returned = 0;
        std::vector<Thread> threads;
        std::vector<pthread_t> ids;
        for (int i = 0; i < waiters; ++i) {
          threads.emplace_back([&] {
            EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
            ++waiting;
            EXPECT_EQ(WaitFor(m, &mutex, how), 0);
            ++returned;
            EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
            return nullptr;
          });
          ids.push_back(threads.back().id());
        }
        EXPECT_TRUE(test::Eventually([&] {
          pthread_mutex_lock(&mutex);
          const bool all = waiting == waiters;
          pthread_mutex_unlock(&mutex);
          return all;
        }));
        Interrupt(ids);
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        EXPECT_EQ(broadcast ? pthread_cond_broadcast(&m->cond) : pthread_cond_signal(&m->cond), 0);
        EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
        EXPECT_EQ(returned, 0);
        Thread last([&] {
          EXPECT_EQ(pthread_cond_destroy(&m->cond), 0);  // natively waits for those who are on their way out
          monitor.Unmap();
          return nullptr;
        });
        test::SleepMs(2);
        may_return = 1;
        last.Join();
        threads.clear();
        EXPECT_EQ(returned, waiters);
      }
    }
  }
}

// Two threads; the second to get through destroys and unmaps, while the first may still be in its call.
template <typename Object, typename Init, typename First, typename Second>
void RunAgainAndAgain(Init init, First first, Second second) {
  for (int i = 0; i < 300; ++i) {
    Mapped<Object> object;
    init(object.get());
    Thread one([&] {
      first(object.get());
      return nullptr;
    });
    second(object.get());
    object.Unmap();
    one.Join();
  }
}

TEST_F(LastUser, OfASemaphore) {
  RunAgainAndAgain<sem_t>([](sem_t* s) { EXPECT_EQ(sem_init(s, 0, 0), 0); },
                          [](sem_t* s) { EXPECT_EQ(sem_post(s), 0); },
                          [](sem_t* s) {
                            EXPECT_EQ(sem_wait(s), 0);
                            EXPECT_EQ(sem_destroy(s), 0);
                          });
}

struct Guarded {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_barrier_t barrier;
  int users = 2;
};

void Init(Guarded* g) {
  new (g) Guarded;
  EXPECT_EQ(pthread_barrier_init(&g->barrier, nullptr, 2), 0);
}

// Returns when the caller is the last user, which it sees with the lock held.
template <typename Lock>
void AwaitLast(const Guarded* g, Lock* object, int (*lock)(Lock*), int (*unlock)(Lock*)) {
  for (bool last = false; !last;) {
    lock(object);
    last = g->users == 1;
    unlock(object);
    if (!last) sched_yield();
  }
}

TEST_F(LastUser, OfAMutex) {
  RunAgainAndAgain<Guarded>(
      Init,
      [](Guarded* g) {
        pthread_mutex_lock(&g->mutex);
        --g->users;
        pthread_mutex_unlock(&g->mutex);
      },
      [](Guarded* g) {
        AwaitLast(g, &g->mutex, pthread_mutex_lock, pthread_mutex_unlock);
        EXPECT_EQ(pthread_mutex_destroy(&g->mutex), 0);
      });
}

TEST_F(LastUser, OfAReaderWriterLock) {
  RunAgainAndAgain<Guarded>(
      Init,
      [](Guarded* g) {
        pthread_rwlock_wrlock(&g->rwlock);
        --g->users;
        pthread_rwlock_unlock(&g->rwlock);
      },
      [](Guarded* g) {
        AwaitLast(g, &g->rwlock, pthread_rwlock_rdlock, pthread_rwlock_unlock);
        EXPECT_EQ(pthread_rwlock_destroy(&g->rwlock), 0);
      });
}

TEST_F(LastUser, OfAConditionVariableAndItsMutex) {
  RunAgainAndAgain<Guarded>(
      Init,
      [](Guarded* g) {
        pthread_mutex_lock(&g->mutex);
        --g->users;
        pthread_cond_signal(&g->cond);
        pthread_mutex_unlock(&g->mutex);
      },
      [](Guarded* g) {
        pthread_mutex_lock(&g->mutex);
        while (g->users != 1) pthread_cond_wait(&g->cond, &g->mutex);
        pthread_mutex_unlock(&g->mutex);
        EXPECT_EQ(pthread_cond_destroy(&g->cond), 0);
        EXPECT_EQ(pthread_mutex_destroy(&g->mutex), 0);
      });
}

TEST_F(LastUser, OfABarrier) {
  RunAgainAndAgain<Guarded>(
      Init, [](Guarded* g) { pthread_barrier_wait(&g->barrier); },
      [](Guarded* g) {
        pthread_barrier_wait(&g->barrier);
        EXPECT_EQ(pthread_barrier_destroy(&g->barrier), 0);
      });
}

// The memory of a mutex becomes a semaphore's at once: the last unlock's wake-up is none for it.
TEST_F(LastUser, OfAMutexWhoseMemoryIsUsedAgain) {
  for (int i = 0; i < 300; ++i) {
    union Memory {
      Memory() {}
      pthread_mutex_t mutex;
      sem_t sem;
    };
    auto memory = std::make_unique<Memory>();
    pthread_mutex_init(&memory->mutex, nullptr);
    pthread_mutex_lock(&memory->mutex);
    std::atomic<bool> taken = false;
    Thread next([&] {
      pthread_mutex_lock(&memory->mutex);
      pthread_mutex_unlock(&memory->mutex);
      EXPECT_EQ(pthread_mutex_destroy(&memory->mutex), 0);
      EXPECT_EQ(sem_init(&memory->sem, 0, 0), 0);
      taken = true;
      while (sem_wait(&memory->sem) != 0) {
      }
      int value = -1;
      EXPECT_EQ(sem_getvalue(&memory->sem, &value), 0);
      EXPECT_EQ(value, 0);
      return nullptr;
    });
    if (i % 2 == 0) sched_yield();
    pthread_mutex_unlock(&memory->mutex);
    EXPECT_TRUE(test::Eventually([&] { return taken.load(); }));
    EXPECT_EQ(sem_post(&memory->sem), 0);
    next.Join();
  }
}

}  // namespace
