// SPDX-License-Identifier: Apache-2.0
// Tests waits in the midst of which signal handlers run: which go on, which end with EINTR, what counts for them
// meanwhile, and what becomes of them when the handler is cancelled.
#include <fcntl.h>
#include <semaphore.h>
#include <threads.h>

#include <vector>

#include "signals.h"

namespace {

using test::Thread;

constexpr int kFlags[] = {SA_RESTART, 0};

class WaitHandler : public test::Signal {
 protected:
  static void Kill(pthread_t thread, int times = 1) {
    for (int i = 0; i < times; ++i) {
      const int before = test::handled;
      EXPECT_EQ(pthread_kill(thread, SIGUSR1), 0);
      EXPECT_TRUE(test::Eventually([&] { return test::handled > before; }));
    }
  }
};

struct Cond {
  pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  std::atomic<int> waiting = 0, returned = 0;

  void Wait() {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    ++waiting;
    EXPECT_EQ(pthread_cond_wait(&cond, &mutex), 0);
    ++returned;
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  }
  // The result of a wait that ends after 300 ms.
  int WaitAWhile(bool c11 = false) {
    EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
    ++waiting;
    const timespec deadline = test::In(CLOCK_REALTIME, 300);
    const int result = c11 ? cnd_timedwait(reinterpret_cast<cnd_t*>(&cond), reinterpret_cast<mtx_t*>(&mutex), &deadline)
                           : pthread_cond_timedwait(&cond, &mutex, &deadline);
    EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
    return result;
  }
  Thread Waiter() {
    return Thread([this] {
      Wait();
      return nullptr;
    });
  }
  // Whoever has said so with the mutex held waits when the mutex can be had.
  void AwaitWaiting(int count) {
    EXPECT_TRUE(test::Eventually([&] {
      pthread_mutex_lock(&mutex);
      const bool all = waiting == count;
      pthread_mutex_unlock(&mutex);
      return all;
    }));
  }
  void Signal() {
    pthread_mutex_lock(&mutex);
    EXPECT_EQ(pthread_cond_signal(&cond), 0);
    pthread_mutex_unlock(&mutex);
  }
};

TEST_F(WaitHandler, DoesNotEndAWaitForACondition) {
  for (const int flags : kFlags) {
    test::Handler handler(SIGUSR1, test::Count, flags);
    Cond c;
    Thread thread = c.Waiter();
    c.AwaitWaiting(1);
    Kill(thread.id(), 30);
    EXPECT_EQ(c.returned, 0);
    c.Signal();
    thread.Join();
    EXPECT_EQ(c.returned, 1);
  }
}

TEST_F(WaitHandler, DoesNotEndATimedWaitForACondition) {
  for (const int flags : kFlags) {
    test::Handler handler(SIGUSR1, test::Count, flags);
    for (const bool c11 : {false, true}) {
      Cond c;
      int result = -1;
      Thread thread([&] {
        result = c.WaitAWhile(c11);
        return nullptr;
      });
      c.AwaitWaiting(1);
      Kill(thread.id(), 3);
      thread.Join();
      EXPECT_EQ(result, c11 ? static_cast<int>(thrd_timedout) : ETIMEDOUT);
    }
  }
}

// Things that threads wait for until LetGo().
class Obstacles {
 public:
  // The barrier waits for so many.
  explicit Obstacles(unsigned at_barrier)
      : target_([this] {
          while (!end_) test::SleepMs(1);
          return nullptr;
        }) {
    EXPECT_EQ(pthread_barrier_init(&barrier, nullptr, at_barrier), 0);
    pthread_mutex_lock(&mutex);
    pthread_rwlock_wrlock(&rwlock);
  }
  void LetGo() {
    end_ = true;
    pthread_rwlock_unlock(&rwlock);
    pthread_mutex_unlock(&mutex);
  }
  Thread& target() { return target_; }

  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_barrier_t barrier;

 private:
  std::atomic<bool> end_ = false;
  Thread target_;
};

TEST_F(WaitHandler, DoesNotEndOtherWaits) {
  for (const int flags : kFlags) {
    test::Handler handler(SIGUSR1, test::Count, flags);
    Obstacles o(2);
    const std::function<void()> waits[] = {
        [&] {
          EXPECT_EQ(pthread_mutex_lock(&o.mutex), 0);
          pthread_mutex_unlock(&o.mutex);
        },
        [&] {
          EXPECT_EQ(pthread_rwlock_rdlock(&o.rwlock), 0);
          pthread_rwlock_unlock(&o.rwlock);
        },
        [&] {
          EXPECT_EQ(pthread_rwlock_wrlock(&o.rwlock), 0);
          pthread_rwlock_unlock(&o.rwlock);
        },
        [&] { EXPECT_LE(pthread_barrier_wait(&o.barrier), 0); },
        [&] { EXPECT_EQ(pthread_join(o.target().id(), nullptr), 0); },
    };
    std::atomic<int> through = 0;
    std::vector<Thread> threads;
    for (const auto& wait : waits) {
      threads.emplace_back([&] {
        wait();
        ++through;
        return nullptr;
      });
    }
    for (int i = 0; i < 5; ++i)
      for (auto& thread : threads) Kill(thread.id());
    EXPECT_EQ(through, 0);
    o.LetGo();
    EXPECT_LE(pthread_barrier_wait(&o.barrier), 0);
    for (auto& thread : threads) thread.Join();
    o.target().Release();
    EXPECT_EQ(pthread_barrier_destroy(&o.barrier), 0);
  }
}

TEST_F(WaitHandler, EndsAWaitForASemaphoreAsNatively) {
  for (const bool timed : {false, true}) {
    for (const int flags : kFlags) {
      test::Handler handler(SIGUSR1, test::Count, flags);
      sem_t sem;
      EXPECT_EQ(sem_init(&sem, 0, 0), 0);
      std::atomic<bool> begun = false;
      const bool ends = timed || flags == 0;
      std::atomic<int> results = 0, interrupted = 0;
      Thread thread([&] {
        begun = true;
        for (int result = -1; result != 0;) {
          const timespec deadline = test::In(CLOCK_REALTIME, 30'000);
          result = timed ? sem_timedwait(&sem, &deadline) : sem_wait(&sem);
          if (result != 0 && errno == EINTR) ++interrupted;
          ++results;
        }
        return nullptr;
      });
      EXPECT_TRUE(test::Eventually([&] { return begun.load(); }));
      test::SleepMs(2);
      Kill(thread.id());
      test::SleepMs(2);
      Kill(thread.id());
      EXPECT_EQ(sem_post(&sem), 0);
      thread.Join();
      if (!ends) {
        EXPECT_EQ(interrupted, 0);
      }
      EXPECT_EQ(results, interrupted + 1);
      int value = -1;
      EXPECT_EQ(sem_getvalue(&sem, &value), 0);
      EXPECT_EQ(value, 0);
    }
  }
}

// --- handlers that wait

int handlers_pipe[2];
std::atomic<int> in_handler;
void ReadInHandler(int) {
  char byte;
  const int saved = errno;
  ++in_handler;
  while (read(handlers_pipe[0], &byte, 1) == -1 && errno == EINTR) {
  }
  ++test::handled;
  errno = saved;
}

class WaitingHandler : public WaitHandler {
 protected:
  void SetUp() override {
    WaitHandler::SetUp();
    in_handler = 0;
    ASSERT_EQ(pipe(handlers_pipe), 0);
  }
  void TearDown() override {
    close(handlers_pipe[0]);
    close(handlers_pipe[1]);
  }
  static void Enter(pthread_t thread) {
    const int before = in_handler;
    EXPECT_EQ(pthread_kill(thread, SIGUSR1), 0);
    EXPECT_TRUE(test::Eventually([&] { return in_handler > before; }));
  }
  static void LetReturn() { EXPECT_EQ(write(handlers_pipe[1], "x", 1), 1); }

  test::Handler handler_{SIGUSR1, ReadInHandler};
};

// The other one, which is not in a handler, may be what the handler waits for.
TEST_F(WaitingHandler, KeepsNoSignalFromTheOtherWaiter) {
  Cond c;
  Thread first = c.Waiter();
  c.AwaitWaiting(1);
  Enter(first.id());
  Thread second([&] {
    c.Wait();
    LetReturn();
    return nullptr;
  });
  c.AwaitWaiting(2);
  c.Signal();  // natively perhaps the first's, which takes it when it comes back
  c.Signal();
  second.Join();
  first.Join();
  EXPECT_EQ(c.returned, 2);
}

TEST_F(WaitingHandler, TakesASignalThatComesMeanwhile) {
  for (int i = 0; i < 20; ++i) {
    Cond c;
    Thread thread = c.Waiter();
    c.AwaitWaiting(1);
    Enter(thread.id());
    c.Signal();
    EXPECT_EQ(c.returned, 0);
    LetReturn();
    thread.Join();
  }
}

TEST_F(WaitingHandler, OutlastsADeadline) {
  Cond c;
  int result = -1;
  Thread thread([&] {
    result = c.WaitAWhile();
    return nullptr;
  });
  c.AwaitWaiting(1);
  Enter(thread.id());
  test::SleepMs(350);
  LetReturn();
  thread.Join();
  EXPECT_EQ(result, ETIMEDOUT);
}

// The clean-up handlers of a wait for a condition find the mutex held; what was waited for serves others.
TEST_F(WaitingHandler, IsCancelledInTheMidstOfAWaitForACondition) {
  for (int i = 0; i < 10; ++i) {
    struct State : Cond {
      int unlocked = -1;
    } c;
    Thread thread([&]() -> void* {
      pthread_mutex_lock(&c.mutex);
      pthread_cleanup_push(
          [](void* argument) {
            auto* s = static_cast<State*>(argument);
            s->unlocked = pthread_mutex_unlock(&s->mutex);
          },
          &c);
      ++c.waiting;
      for (;;) pthread_cond_wait(&c.cond, &c.mutex);
      pthread_cleanup_pop(0);
    });
    c.AwaitWaiting(1);
    Enter(thread.id());
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
    EXPECT_EQ(c.unlocked, 0);
    Thread other = c.Waiter();
    c.AwaitWaiting(2);
    c.Signal();
    other.Join();
  }
}

TEST_F(WaitingHandler, IsCancelledInTheMidstOfOtherWaits) {
  Obstacles o(3);
  sem_t sem;
  int empty[2];
  ASSERT_EQ(pipe(empty), 0);
  EXPECT_EQ(sem_init(&sem, 0, 0), 0);
  char byte;
  const std::function<void()> waits[] = {
      [&] { pthread_mutex_lock(&o.mutex); },
      [&] { pthread_rwlock_rdlock(&o.rwlock); },
      [&] { pthread_rwlock_wrlock(&o.rwlock); },
      [&] { pthread_barrier_wait(&o.barrier); },
      [&] { sem_wait(&sem); },
      [&] { pthread_join(o.target().id(), nullptr); },
      [&] { (void)!read(empty[0], &byte, 1); },
      [] { sleep(100); },
      [] { pause(); },
  };
  for (const auto& wait : waits) {
    std::atomic<bool> begun = false;
    Thread thread([&] {
      begun = true;
      wait();
      return nullptr;
    });
    EXPECT_TRUE(test::Eventually([&] { return begun.load(); }));
    test::SleepMs(2);
    Enter(thread.id());
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  }
  // (Natively whoever waited to read counts as a reader for ever.)
  o.LetGo();
  EXPECT_EQ(pthread_mutex_trylock(&o.mutex), 0);
  EXPECT_EQ(o.target().Join(), nullptr);
  EXPECT_EQ(sem_post(&sem), 0);
  EXPECT_EQ(sem_trywait(&sem), 0);
  close(empty[0]);
  close(empty[1]);
}

}  // namespace
