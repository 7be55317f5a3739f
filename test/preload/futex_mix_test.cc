// SPDX-License-Identifier: Apache-2.0
// Tests raw futexes between threads of different kinds: those whose system calls no library sees, those that libc or
// the program made behind everybody's back, those of other processes, and those that the kernel wakes.
#include <dlfcn.h>
#include <sched.h>
#include <sys/mman.h>

#include <memory>

#include "futex_util.h"

namespace {

using test::AwaitWaiting;
using test::Futex;
using test::InlineFutex;
using test::kPrivate;
using test::Requeue;
using test::Thread;
using test::Wait;
using test::Waiters;
using test::Waiting;
using test::Wake;

long InlineWait(const void* word) {
  return InlineFutex(word, FUTEX_WAIT | kPrivate, 0);
}

TEST(FutexMix, InlineWaitersAreWoken) {
  const uint32_t word = 0;
  Waiters waiters(&word);
  for (int i = 0; i < 3; ++i) waiters.Add([&] { return InlineWait(&word); });
  EXPECT_EQ(Wake(&word), 1);
  EXPECT_EQ(Wake(&word, INT_MAX), 2);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(waiters.AnswerOf(i), 0);
}

TEST(FutexMix, BothKindsOnOneWord) {
  const uint32_t word = 0;
  const uint32_t to = 0;
  Waiters waiters(&word);
  for (int i = 0; i < 3; ++i) {
    waiters.AddPlain(1);
    waiters.Add([&] { return InlineWait(&word); });
  }
  EXPECT_EQ(Waiting(&word), 6);
  EXPECT_EQ(Wake(&word, 4), 4);
  EXPECT_EQ(Requeue(&word, 1, INT_MAX, &to), 2);
  EXPECT_EQ(Waiting(&word), 0);
  EXPECT_EQ(Waiting(&to), 1);
  EXPECT_EQ(test::WakeBits(&to, INT_MAX, 1), 1);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(waiters.AnswerOf(i), 0);
}

TEST(FutexMix, BothKindsAndWakeOp) {
  const uint32_t word = 0;
  uint32_t other = 0;
  Waiters waiters(&word);
  waiters.AddPlain(1);
  waiters.Add([&] { return InlineWait(&word); });
  Waiters others(&other);
  others.AddPlain(1);
  others.Add([&] { return InlineWait(&other); });
  EXPECT_EQ(Futex(&word, FUTEX_WAKE_OP | kPrivate, INT_MAX, test::Count(INT_MAX), &other,
                  FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)),
            4);
}

TEST(FutexMix, CompareAndRequeueOfBothKinds) {
  const uint32_t word = 0;
  const uint32_t to = 0;
  Waiters waiters(&word);
  waiters.Add([&] { return InlineWait(&word); });
  waiters.AddPlain(1);
  constexpr uint32_t kOp = FUTEX_CMP_REQUEUE | kPrivate;
  EXPECT_EQ(Futex(&word, kOp, 0, test::Count(INT_MAX), &to, 1), -EAGAIN);
  EXPECT_EQ(Futex(&word, kOp, 0, test::Count(INT_MAX), &to, 0), 2);
  EXPECT_EQ(Wake(&to, INT_MAX), 2);
}

TEST(FutexMix, WithoutTheFlag) {
  const uint32_t word = 0;
  Waiters waiters(&word, 0);
  for (int i = 0; i < 2; ++i) waiters.Add([&] { return Futex(&word, FUTEX_WAIT, 0); });
  EXPECT_EQ(Wake(&word, INT_MAX), 0) << "the kernel keeps the two kinds apart";
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, 1), 1);
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, INT_MAX), 1);
  waiters.JoinAll();
}

TEST(FutexMix, BetweenProcesses) {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* word = static_cast<uint32_t*>(memory);
  Waiters waiters(word, 0);
  for (int i = 0; i < 3; ++i) waiters.Add([=] { return Futex(word, FUTEX_WAIT, 0); });
  EXPECT_TRUE(test::Exited(test::RunChild([=] {
                             CHILD_CHECK(Futex(word, FUTEX_WAKE, INT_MAX) == 3);
                             return 0;
                           }),
                           0));
  waiters.JoinAll();
  munmap(memory, 4096);
}

TEST(FutexMix, PrivateOnesOfAChildAreItsOwn) {
  static const uint32_t word = 0;
  Waiters waiters(&word);
  waiters.AddPlain(2);
  EXPECT_TRUE(test::Exited(test::RunChild([] {
                             CHILD_CHECK(Wake(&word, INT_MAX) == 0);
                             {
                               Waiters own(&word);
                               own.AddPlain(2);
                               CHILD_CHECK(Wake(&word, INT_MAX) == 2);
                             }
                             return 0;
                           }),
                           0));
  EXPECT_EQ(Wake(&word, INT_MAX), 2);
}

// libc's own pthread_create, which libraries find by dlsym.
class ForeignThread {
 public:
  ForeignThread(void* (*start)(void*), void* argument) {
    auto* create = reinterpret_cast<decltype(&pthread_create)>(dlsym(Libc(), "pthread_create"));
    EXPECT_EQ(create(&id_, nullptr, start, argument), 0);
  }
  ~ForeignThread() {
    auto* join = reinterpret_cast<decltype(&pthread_join)>(dlsym(Libc(), "pthread_join"));
    EXPECT_EQ(join(id_, nullptr), 0);
  }

 private:
  static void* Libc() {
    static void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);
    return libc;
  }
  pthread_t id_;
};

TEST(FutexMix, ForeignThreadsTakeTurnsWithOthers) {
  struct Table {
    std::atomic<uint32_t> turn = 0;
    void Play(uint32_t me) {
      for (int i = 0; i < 300; ++i) {
        for (uint32_t now = turn; now % 4 != me; now = turn) Wait(&turn, now);
        ++turn;
        Wake(&turn, INT_MAX);
      }
    }
  } table;
  auto even = [](void* p) -> void* {
    static_cast<Table*>(p)->Play(0);
    return nullptr;
  };
  auto two = [](void* p) -> void* {
    static_cast<Table*>(p)->Play(2);
    return nullptr;
  };
  {
    ForeignThread zero_thread(even, &table);
    ForeignThread two_thread(two, &table);
    Thread one([&] {
      table.Play(1);
      return nullptr;
    });
    Thread three([&] {
      table.Play(3);
      return nullptr;
    });
  }
  EXPECT_EQ(table.turn, 1200u);
}

TEST(FutexMix, MainWaitsBeforeThereAreThreads) {
  static uint32_t word = 0;
  const timespec t = test::Ms(5);
  EXPECT_EQ(Wait(&word, 0, &t), -ETIMEDOUT);
  ForeignThread waker(
      [](void*) -> void* {
        while (Wake(&word) == 0) sched_yield();
        return nullptr;
      },
      nullptr);
  EXPECT_EQ(Wait(&word, 0), 0);
  Thread([] { return nullptr; });  // the suite wants one
}

// A thread of clone() shares its creator's thread pointer, errno and all.
class Clone {
 public:
  Clone(int (*start)(void*), void* argument) : stack_(new char[kSize]) {
    alive_ = 1;
    constexpr int kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                           CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    EXPECT_GT(clone(start, stack_.get() + kSize, kFlags, argument, &alive_, nullptr, &alive_), 0);
  }
  // The kernel clears the word and wakes who waits on it, as a word that processes may share.
  ~Clone() {
    while (const int tid = __atomic_load_n(&alive_, __ATOMIC_SEQ_CST))
      Futex(&alive_, FUTEX_WAIT, static_cast<uint32_t>(tid));
  }

 private:
  static constexpr size_t kSize = 65536;
  std::unique_ptr<char[]> stack_;
  int alive_;
};

TEST(FutexMix, TheKernelWakesWhoAwaitsTheEndOfAClone) {
  test::HereAndInAThread([] {
    static std::atomic<int> ran;
    ran = 0;
    {
      Clone clone(
          [](void*) {
            ++ran;
            return 0;
          },
          nullptr);
    }
    EXPECT_EQ(ran, 1);
  });
}

struct Words {
  uint32_t there = 0, back = 0;
};

TEST(FutexMix, ClonesWaitAndWake) {
  // Some wait before there is a clone, and must hear from it.
  static Words words;
  Waiters before(&words.there);
  before.Add([] {
    long answer;
    do {
      answer = Wait(&words.there, 0);
    } while (answer == 0 && __atomic_load_n(&words.there, __ATOMIC_SEQ_CST) == 0);
    return answer;
  });
  {
    Clone clone(
        [](void*) {
          __atomic_store_n(&words.there, 1, __ATOMIC_SEQ_CST);
          syscall(SYS_futex, &words.there, FUTEX_WAKE | kPrivate, INT_MAX, nullptr, nullptr, 0);
          while (__atomic_load_n(&words.back, __ATOMIC_SEQ_CST) == 0)
            syscall(SYS_futex, &words.back, FUTEX_WAIT | kPrivate, 0, nullptr, nullptr, 0);
          syscall(SYS_sched_yield);
          return 0;
        },
        nullptr);
    EXPECT_TRUE(test::Eventually([&] { return before.Done(0); }));
    EXPECT_TRUE(AwaitWaiting(&words.back, 1));
    Waiters after(&words.back);
    after.Add([] {
      while (__atomic_load_n(&words.back, __ATOMIC_SEQ_CST) == 0) Wait(&words.back, 0);
      return 0L;
    });
    __atomic_store_n(&words.back, 1, __ATOMIC_SEQ_CST);
    Wake(&words.back, INT_MAX);
  }
}

TEST(FutexMix, PriorityInheritance) {
  static uint32_t lock;
  lock = 0;
  static int64_t counter;
  counter = 0;
  EXPECT_EQ(Futex(&lock, FUTEX_UNLOCK_PI | kPrivate, 0), -EPERM);
  std::vector<Thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      const timespec later = test::In(CLOCK_REALTIME, 100'000);
      for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(Futex(&lock, FUTEX_LOCK_PI | kPrivate, 0, i % 2 == 0 ? &later : nullptr), 0);
        const int64_t seen = counter;
        if (i % 10 == 0) sched_yield();
        counter = seen + 1;
        EXPECT_EQ(Futex(&lock, FUTEX_UNLOCK_PI | kPrivate, 0), 0);
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(counter, 400);
  Thread owner([] {
    EXPECT_EQ(Futex(&lock, FUTEX_TRYLOCK_PI | kPrivate, 0), 0);
    EXPECT_EQ(Futex(&lock, FUTEX_LOCK_PI | kPrivate, 0), -EDEADLK);
    Thread([] {
      EXPECT_EQ(Futex(&lock, FUTEX_TRYLOCK_PI | kPrivate, 0), -EAGAIN);
      const timespec soon = test::In(CLOCK_REALTIME, 5);
      EXPECT_EQ(Futex(&lock, FUTEX_LOCK_PI | kPrivate, 0, &soon), -ETIMEDOUT);
      EXPECT_EQ(Futex(&lock, FUTEX_UNLOCK_PI | kPrivate, 0), -EPERM);
      return nullptr;
    });
    EXPECT_EQ(Futex(&lock, FUTEX_UNLOCK_PI | kPrivate, 0), 0);
    return nullptr;
  });
}

}  // namespace
