// SPDX-License-Identifier: Apache-2.0
// Tests deferred and asynchronous cancellation of threads that block in each kind of call.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/socket.h>
#include <threads.h>

#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

// Starts `block`, which never ends by itself, cancels it once it (most likely) blocks, and joins.
void CancelBlocked(const std::function<void()>& block) {
  for (const bool early : {false, true}) {
    std::atomic<bool> started = false;
    std::atomic<bool> cleaned = false;
    std::atomic<bool> unwound = false;
    struct Unwinds {
      std::atomic<bool>& flag;
      ~Unwinds() { flag = true; }
    };
    Thread thread([&]() -> void* {
      Unwinds unwinds{unwound};
      pthread_cleanup_push([](void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; }, &cleaned);
      started = true;
      for (;;) block();
      pthread_cleanup_pop(0);
    });
    if (!early) {
      EXPECT_TRUE(test::Eventually([&] { return started.load(); }));
      test::LetThemWait();
    }
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
    EXPECT_EQ(cleaned, started);
    EXPECT_EQ(unwound, started);
  }
}

TEST(Cancel, InSleep) {
  CancelBlocked([] { sleep(100); });
  CancelBlocked([] { usleep(100'000'000); });
  CancelBlocked([] {
    const timespec time = {.tv_sec = 100, .tv_nsec = 0};
    nanosleep(&time, nullptr);
  });
  CancelBlocked([] {
    const timespec time = {.tv_sec = 100, .tv_nsec = 0};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  });
  CancelBlocked([] { pause(); });
}

TEST(Cancel, InSemaphores) {
  sem_t sem;
  ASSERT_EQ(sem_init(&sem, 0, 0), 0);
  CancelBlocked([&] { sem_wait(&sem); });
  CancelBlocked([&] {
    const timespec deadline = test::In(CLOCK_REALTIME, 100'000);
    sem_timedwait(&sem, &deadline);
  });
  CancelBlocked([&] {
    const timespec deadline = test::In(CLOCK_MONOTONIC, 100'000);
    sem_clockwait(&sem, CLOCK_MONOTONIC, &deadline);
  });
  int value = -1;
  EXPECT_EQ(sem_getvalue(&sem, &value), 0);
  EXPECT_EQ(value, 0);
  EXPECT_EQ(sem_post(&sem), 0);
  EXPECT_EQ(sem_trywait(&sem), 0);  // No cancelled waiter took it along.
  EXPECT_EQ(sem_destroy(&sem), 0);
}

TEST(Cancel, InConditionVariablesWithTheMutexHeldAgain) {
  struct State {
    pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    bool waiting = false;
    int unlocked = -1;
  };
  for (int kind = 0; kind < 3; ++kind) {
    State state;
    Thread thread([&]() -> void* {
      pthread_mutex_lock(&state.mutex);
      pthread_cleanup_push(
          [](void* argument) {
            auto* s = static_cast<State*>(argument);
            s->unlocked = pthread_mutex_unlock(&s->mutex);
          },
          &state);
      state.waiting = true;
      for (;;) {
        if (kind == 0) {
          pthread_cond_wait(&state.cond, &state.mutex);
        } else if (kind == 1) {
          const timespec deadline = test::In(CLOCK_REALTIME, 100'000);
          pthread_cond_timedwait(&state.cond, &state.mutex, &deadline);
        } else {
          const timespec deadline = test::In(CLOCK_MONOTONIC, 100'000);
          pthread_cond_clockwait(&state.cond, &state.mutex, CLOCK_MONOTONIC, &deadline);
        }
      }
      pthread_cleanup_pop(0);
    });
    EXPECT_TRUE(test::Eventually([&] {
      pthread_mutex_lock(&state.mutex);
      const bool waiting = state.waiting;
      pthread_mutex_unlock(&state.mutex);
      return waiting;
    }));
    EXPECT_EQ(pthread_cancel(thread.id()), 0);
    EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
    EXPECT_EQ(state.unlocked, 0);  // It was the owner when its handler ran.
    EXPECT_EQ(pthread_mutex_trylock(&state.mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(&state.mutex), 0);
    EXPECT_EQ(pthread_cond_destroy(&state.cond), 0);
  }
}

TEST(Cancel, ACancelledWaiterLosesNoSignal) {
  // One waiter is cancelled and one signal sent: the other one must still be woken.
  for (int i = 0; i < 30; ++i) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    int waiting = 0;
    int tokens = 0;
    auto wait = [&]() -> void* {
      pthread_mutex_lock(&mutex);
      pthread_cleanup_push([](void* m) { pthread_mutex_unlock(static_cast<pthread_mutex_t*>(m)); }, &mutex);
      ++waiting;
      while (tokens == 0) pthread_cond_wait(&cond, &mutex);
      --tokens;
      pthread_cleanup_pop(1);
      return nullptr;
    };
    Thread doomed(wait);
    Thread survivor(wait);
    EXPECT_TRUE(test::Eventually([&] {
      pthread_mutex_lock(&mutex);
      const bool both = waiting == 2;
      pthread_mutex_unlock(&mutex);
      return both;
    }));
    EXPECT_EQ(pthread_cancel(doomed.id()), 0);
    pthread_mutex_lock(&mutex);
    tokens = 2;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    void* const result = doomed.Join();
    EXPECT_TRUE(result == PTHREAD_CANCELED || result == nullptr);
    EXPECT_EQ(survivor.Join(), nullptr);
  }
}

TEST(Cancel, InJoin) {
  Gate gate;
  Thread target([&] {
    gate.Wait();
    return nullptr;
  });
  std::atomic<bool> started = false;
  Thread joiner([&]() -> void* {
    started = true;
    pthread_join(target.id(), nullptr);
    ADD_FAILURE() << "joined";
    return nullptr;
  });
  EXPECT_TRUE(test::Eventually([&] { return started.load(); }));
  test::LetThemWait();
  EXPECT_EQ(pthread_cancel(joiner.id()), 0);
  EXPECT_EQ(joiner.Join(), PTHREAD_CANCELED);
  gate.Open();
  EXPECT_EQ(target.Join(), nullptr);  // Still joinable.
}

TEST(Cancel, InDescriptors) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  CancelBlocked([&] {
    char byte;
    if (read(pipes[0], &byte, 1) == 1) ADD_FAILURE() << "read something";
  });
  CancelBlocked([&] {
    pollfd descriptor = {.fd = pipes[0], .events = POLLIN, .revents = 0};
    poll(&descriptor, 1, 100'000);
  });
  EXPECT_EQ(fcntl(pipes[1], F_SETPIPE_SZ, 4096), 4096);
  CancelBlocked([&] {
    char bytes[4096] = {};
    if (write(pipes[1], bytes, sizeof bytes) < 0) ADD_FAILURE() << "write failed";
  });
  close(pipes[0]);
  close(pipes[1]);
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  CancelBlocked([&] {
    char byte;
    if (recv(sockets[0], &byte, 1, 0) == 1) ADD_FAILURE() << "received something";
  });
  close(sockets[0]);
  close(sockets[1]);
}

TEST(Cancel, InC11Calls) {
  CancelBlocked([] {
    const timespec time = {.tv_sec = 100, .tv_nsec = 0};
    thrd_sleep(&time, nullptr);
  });
}

TEST(Cancel, TestCancelAndComputing) {
  CancelBlocked([] {
    sched_yield();
    pthread_testcancel();
  });
}

TEST(Cancel, StateDisabled) {
  Gate cancelled;
  std::string log;
  Thread thread([&]() -> void* {
    int old = -1;
    EXPECT_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
    EXPECT_EQ(old, PTHREAD_CANCEL_ENABLE);
    cancelled.Wait();
    pthread_testcancel();
    usleep(10);
    log += "still here,";
    EXPECT_EQ(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old), 0);
    EXPECT_EQ(old, PTHREAD_CANCEL_DISABLE);
    log += " pending,";
    pthread_testcancel();
    log += " never";
    return nullptr;
  });
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  cancelled.Open();
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(log, "still here, pending,");
}

TEST(Cancel, NotAtMutexes) {
  // Locking is no cancellation point.
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  bool locked = false;
  Thread thread([&]() -> void* {
    pthread_mutex_lock(&mutex);
    locked = true;
    pthread_mutex_unlock(&mutex);
    pthread_testcancel();
    return nullptr;
  });
  test::LetThemWait();
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  test::LetThemWait();
  pthread_mutex_unlock(&mutex);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_TRUE(locked);
}

TEST(Cancel, Oneself) {
  std::string log;
  Thread thread([&]() -> void* {
    EXPECT_EQ(pthread_cancel(pthread_self()), 0);
    log += "deferred";
    pthread_testcancel();
    log += " never";
    return nullptr;
  });
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(log, "deferred");
}

TEST(Cancel, AfterTheEndIsHarmless) {
  Gate ended;
  Thread thread([&] {
    ended.Open();
    return reinterpret_cast<void*>(5);
  });
  ended.Wait();
  test::LetThemWait();
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), reinterpret_cast<void*>(5));
}

TEST(Cancel, HandlersAndDestructorsAndKeysInOrder) {
  static std::string log;
  log.clear();
  static pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void*) { log += "key"; }), 0);
  struct Says {
    const char* what;
    ~Says() { log += what; }
  };
  Thread thread([]() -> void* {
    pthread_setspecific(key, &key);
    Says outer{"outer,"};
    pthread_cleanup_push([](void*) { log += "handler,"; }, nullptr);
    Says inner{"inner,"};
    for (;;) pause();
    pthread_cleanup_pop(0);
  });
  test::LetThemWait();
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
  EXPECT_EQ(log, "inner,handler,outer,key");
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST(Cancel, TypesAreRemembered) {
  test::HereAndInAThread([] {
    int old = -1;
    EXPECT_EQ(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old), 0);
    EXPECT_EQ(old, PTHREAD_CANCEL_DEFERRED);
    EXPECT_EQ(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old), 0);
    EXPECT_EQ(old, PTHREAD_CANCEL_ASYNCHRONOUS);
    EXPECT_EQ(pthread_setcanceltype(77, &old), EINVAL);
    EXPECT_EQ(pthread_setcancelstate(77, &old), EINVAL);
  });
}

TEST(Cancel, AsynchronousInAComputation) {
  static std::atomic<bool> started;
  started = false;
  Thread thread([]() -> void* {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    started = true;
    static volatile uint64_t rounds;
    for (;;) rounds = rounds + 1;
  });
  while (!started) sched_yield();
  EXPECT_EQ(pthread_cancel(thread.id()), 0);
  EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
}

TEST(Cancel, ManyAtOnce) {
  std::vector<Thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([i]() -> void* {
      for (;;) {
        if (i % 3 == 0) {
          pause();
        } else if (i % 3 == 1) {
          sleep(100);
        } else {
          sched_yield();
          pthread_testcancel();
          usleep(10);
        }
      }
    });
  }
  for (const auto& thread : threads) EXPECT_EQ(pthread_cancel(thread.id()), 0);
  for (auto& thread : threads) EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
}

}  // namespace
