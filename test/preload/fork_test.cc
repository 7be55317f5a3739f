// SPDX-License-Identifier: Apache-2.0
// Tests fork from main and from threads, and pthread_atfork.
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "use_threads.h"
#include "util.h"

namespace {

using test::Exited;
using test::RunChild;
using test::Thread;
using test::UseThreads;

TEST(Fork, FromMain) {
  EXPECT_TRUE(Exited(RunChild([] { return 23; }), 23));
  EXPECT_TRUE(Exited(RunChild([] { return UseThreads(); }), 8));
  EXPECT_EQ(UseThreads(), 8);
}

TEST(Fork, FromThreads) {
  std::vector<Thread> threads;
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_TRUE(Exited(RunChild([t] { return t + 40; }), t + 40));
      }
      EXPECT_TRUE(Exited(RunChild([] { return UseThreads(); }), 8));
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(UseThreads(), 8);
}

TEST(Fork, TheChildHasOneThreadWithTheForkersIdentity) {
  static thread_local int mine = 0;
  // Not a mutex: one of the others might hold it at the fork, and the child could not open the gate.
  sem_t gate;
  ASSERT_EQ(sem_init(&gate, 0, 0), 0);
  std::vector<Thread> others;
  std::atomic<int> ran_in_child = 0;
  const pid_t parent = getpid();
  for (int i = 0; i < 10; ++i) {
    others.emplace_back([&] {
      while (sem_wait(&gate) != 0) {
      }
      if (getpid() != parent) ran_in_child = 1;
      return nullptr;
    });
  }
  Thread forker([&] {
    mine = 4321;
    errno = 77;
    pthread_key_t key;
    pthread_key_create(&key, nullptr);
    pthread_setspecific(key, &mine);
    const pthread_t self = pthread_self();
    EXPECT_TRUE(Exited(RunChild([&] {
                         CHILD_CHECK(pthread_equal(pthread_self(), self));
                         CHILD_CHECK(mine == 4321);
                         CHILD_CHECK(pthread_getspecific(key) == &mine);
                         CHILD_CHECK(getpid() != parent);
                         CHILD_CHECK(gettid() == getpid());
                         for (int i = 0; i < 10; ++i) sem_post(&gate);
                         test::SleepMs(5);
                         for (int i = 0; i < 10; ++i) sched_yield();
                         CHILD_CHECK(ran_in_child == 0);
                         CHILD_CHECK(UseThreads() == 8);
                         return 1;
                       }),
                       1));
    pthread_key_delete(key);
    return nullptr;
  });
  forker.Join();
  for (int i = 0; i < 10; ++i) sem_post(&gate);
}

TEST(Fork, TheForkingThreadIsTheMainOneOfTheChild) {
  // Its return from exit() and atexit() work; others can join it no more, but it may exit.
  Thread forker([] {
    const int status = RunChild([]() -> int {
      Thread last([] {
        test::SleepMs(2);
        exit(31);
        return nullptr;
      });
      last.Release();
      pthread_exit(nullptr);
    });
    EXPECT_TRUE(Exited(status, 31));
    return nullptr;
  });
}

TEST(Fork, ReturnFromTheForkingThreadsFunctionEndsTheChild) {
  // The child's only thread returns from its start function: the process ends with status 0.
  const pid_t parent = getpid();
  pid_t child = -1;
  Thread forker([&] {
    const pid_t got = fork();
    if (got == 0) alarm(test::kChildSeconds);
    if (getpid() == parent) child = got;
    return nullptr;
  });
  forker.Join();
  ASSERT_EQ(getpid(), parent);
  ASSERT_NE(child, -1);
  EXPECT_TRUE(Exited(test::WaitFor(child), 0));
}

TEST(Fork, Grandchildren) {
  EXPECT_TRUE(Exited(RunChild([] {
                       std::atomic<int> ok = 0;
                       {
                         std::vector<Thread> threads;
                         for (int i = 0; i < 3; ++i) {
                           threads.emplace_back([&ok, i] {
                             const int status = RunChild([i] { return UseThreads() + i; });
                             if (Exited(status, 8 + i)) ++ok;
                             return nullptr;
                           });
                         }
                       }
                       return ok + 50;
                     }),
                     53));
}

TEST(Fork, MutexHeldByTheForkerCanBeReleasedInTheChild) {
  for (const int kind : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ADAPTIVE_NP}) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, kind);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    pthread_mutex_lock(&mutex);
    Thread waiter([&] {
      // Waits in the parent only.
      pthread_mutex_lock(&mutex);
      pthread_mutex_unlock(&mutex);
      return nullptr;
    });
    test::LetThemWait();
    EXPECT_TRUE(Exited(RunChild([&] {
                         CHILD_CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
                         CHILD_CHECK(pthread_mutex_unlock(&mutex) == 0);
                         int inside = 0;
                         Thread user([&] {
                           CHILD_CHECK(pthread_mutex_lock(&mutex) == 0);
                           ++inside;
                           CHILD_CHECK(pthread_mutex_unlock(&mutex) == 0);
                           return nullptr;
                         });
                         user.Join();
                         return inside;
                       }),
                       1));
    pthread_mutex_unlock(&mutex);
    waiter.Join();
    EXPECT_EQ(pthread_mutex_destroy(&mutex), 0);
  }
}

std::string order;

TEST(Fork, AtforkHandlersInOrder) {
  static bool on = false;
  on = true;
  order.clear();
  ASSERT_EQ(pthread_atfork(
                [] {
                  if (on) order += 'a';
                },
                [] {
                  if (on) order += 'b';
                },
                [] {
                  if (on) order += 'c';
                }),
            0);
  ASSERT_EQ(pthread_atfork(
                [] {
                  if (on) order += 'A';
                },
                [] {
                  if (on) order += 'B';
                },
                [] {
                  if (on) order += 'C';
                }),
            0);
  ASSERT_EQ(pthread_atfork(nullptr, nullptr, nullptr), 0);
  EXPECT_TRUE(Exited(RunChild([] { return order == "AacC" ? 1 : 2; }), 1));
  EXPECT_EQ(order, "AabB");
  order.clear();
  Thread([] {
    EXPECT_TRUE(Exited(RunChild([] { return order == "AacC" ? 1 : 2; }), 1));
    return nullptr;
  });
  EXPECT_EQ(order, "AabB");
  on = false;
}

TEST(Fork, AtforkHandlersMayLock) {
  // What libraries do: take their lock before, release it on both sides.
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static std::atomic<bool> on = false;
  on = true;
  ASSERT_EQ(pthread_atfork(
                [] {
                  if (on) pthread_mutex_lock(&lock);
                },
                [] {
                  if (on) pthread_mutex_unlock(&lock);
                },
                [] {
                  if (on) pthread_mutex_unlock(&lock);
                }),
            0);
  std::atomic<bool> stop = false;
  std::vector<Thread> users;
  for (int i = 0; i < 3; ++i) {
    users.emplace_back([&stop] {
      while (!stop) {
        pthread_mutex_lock(&lock);
        sched_yield();
        pthread_mutex_unlock(&lock);
        usleep(20);
      }
      return nullptr;
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Exited(RunChild([] {
                         CHILD_CHECK(pthread_mutex_lock(&lock) == 0);
                         CHILD_CHECK(pthread_mutex_unlock(&lock) == 0);
                         return 5;
                       }),
                       5));
  }
  stop = true;
  users.clear();
  on = false;
}

TEST(Fork, WhileOthersUseMallocAndStdio) {
  std::atomic<bool> stop = false;
  std::vector<Thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&stop, i] {
      FILE* sink = fopen("/dev/null", "w");
      std::vector<void*> blocks(64);
      unsigned seed = i + 1;
      for (unsigned n = 0; !stop; ++n) {
        void*& block = blocks[rand_r(&seed) % blocks.size()];
        free(block);
        block = malloc(rand_r(&seed) % 100'000);
        fprintf(sink, "%u %p\n", n, block);
        if (n % 200 == 0) usleep(100);
      }
      for (void* block : blocks) free(block);
      fclose(sink);
      return nullptr;
    });
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Exited(RunChild([] {
                         std::vector<std::string> strings;
                         for (int k = 0; k < 200; ++k) strings.emplace_back(k * 50, 'x');
                         FILE* sink = fopen("/dev/null", "w");
                         CHILD_CHECK(fprintf(sink, "%zu", strings.size()) == 3);
                         CHILD_CHECK(fclose(sink) == 0);
                         return 6;
                       }),
                       6));
  }
  EXPECT_TRUE(Exited(RunChild([] { return UseThreads(); }), 8));
  stop = true;
}

TEST(Fork, ExitInTheChildRunsNoOtherThread) {
  // exit(), not _exit(), in the child of a process with busy threads.
  std::atomic<bool> stop = false;
  std::vector<Thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&stop] {
      while (!stop) usleep(50);
      return nullptr;
    });
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(Exited(RunChild([i]() -> int { exit(60 + i); }), 60 + i));
  }
  stop = true;
}

TEST(Fork, ManyInARow) {
  int good = 0;
  for (int i = 0; i < 50; ++i) {
    Thread([&good, i] {
      if (Exited(RunChild([i] { return i; }), i)) ++good;
      return nullptr;
    });
  }
  EXPECT_EQ(good, 50);
}

TEST(Fork, WaitingForAChildDoesNotHoldUpOthers) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    alarm(test::kChildSeconds);
    char byte;
    CHILD_CHECK(read(pipes[0], &byte, 1) == 1);
    _exit(byte);
  }
  Thread waiter([child] {
    EXPECT_TRUE(Exited(test::WaitFor(child), 'x'));
    return nullptr;
  });
  Thread writer([&] {
    test::LetThemWait();
    EXPECT_EQ(write(pipes[1], "x", 1), 1);
    return nullptr;
  });
  waiter.Join();
  writer.Join();
  close(pipes[0]);
  close(pipes[1]);
}

TEST(Fork, RawForkChildGoesOn) {
  // _Fork runs no handlers and is async-signal-safe.
  const pid_t child = _Fork();
  ASSERT_NE(child, -1);
  if (child == 0) _exit(44);
  EXPECT_TRUE(Exited(test::WaitFor(child), 44));
  Thread([] {
    const pid_t grandchild = _Fork();
    if (grandchild == 0) _exit(45);
    EXPECT_TRUE(Exited(test::WaitFor(grandchild), 45));
    return nullptr;
  });
}

TEST(Fork, SignalMaskAndPendingSetOfTheChild) {
  Thread([] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    EXPECT_EQ(raise(SIGUSR2), 0);
    EXPECT_TRUE(Exited(RunChild([] {
                         sigset_t now;
                         CHILD_CHECK(pthread_sigmask(SIG_BLOCK, nullptr, &now) == 0);
                         CHILD_CHECK(sigismember(&now, SIGUSR2) == 1);
                         CHILD_CHECK(sigpending(&now) == 0);
                         CHILD_CHECK(sigismember(&now, SIGUSR2) == 0);
                         return 3;
                       }),
                       3));
    const timespec now = {};
    EXPECT_EQ(sigtimedwait(&set, nullptr, &now), SIGUSR2);
    return nullptr;
  });
}

}  // namespace
