// SPDX-License-Identifier: Apache-2.0
// Tests that errno, thread-local variables and keys stay with their thread over thousands of blocking calls.
#include <fenv.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "blocker.h"
#include "util.h"

namespace {

using test::Blocker;
using test::kRounds;
using test::kThreads;
using test::Thread;
using test::Torture;

TEST(Identity, Errno) {
  Torture([](int t, int i, auto block) {
    int* const place = &errno;
    block();
    EXPECT_EQ(place, &errno);
    errno = t * 1000 + i;
    sched_yield();
    EXPECT_EQ(errno, t * 1000 + i);
  });
}

TEST(Identity, ErrnoSurvivesCallsThatReturnTheirError) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  std::vector<Thread> threads;
  for (int t = 1; t <= 6; ++t) {
    threads.emplace_back([&, t] {
      errno = t;
      for (int i = 0; i < 200; ++i) {
        pthread_mutex_lock(&mutex);
        const timespec deadline = test::FromNs(test::NowNs(CLOCK_REALTIME) + 20'000);
        pthread_cond_timedwait(&cond, &mutex, &deadline);
        pthread_cond_signal(&cond);
        pthread_mutex_unlock(&mutex);
        EXPECT_EQ(errno, t);
      }
      return nullptr;
    });
  }
}

struct alignas(64) Aligned {
  unsigned char bytes[64];
};

__thread int plain_tls = 41;
__thread Aligned aligned_tls;
__thread char large_tls[32 * 1024];
__thread char tail_tls[3] = {'e', 'n', 'd'};

TEST(Identity, CompilerTls) {
  std::vector<Thread> threads;
  Blocker blocker;
  for (int t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&, t] {
      EXPECT_EQ(plain_tls, 41);
      EXPECT_EQ(large_tls[0] | large_tls[sizeof large_tls - 1] | aligned_tls.bytes[63], 0);
      EXPECT_EQ(memcmp(tail_tls, "end", 3), 0);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(&aligned_tls) % 64, 0u);
      int* const plain = &plain_tls;
      char* const large = large_tls;
      plain_tls = t;
      memset(large_tls, t, sizeof large_tls);
      memset(&aligned_tls, t + 100, sizeof aligned_tls);
      for (int i = 0; i < kRounds; ++i) {
        blocker.Block(t + i);
        EXPECT_EQ(plain, &plain_tls);
        EXPECT_EQ(large, large_tls);
        EXPECT_EQ(plain_tls, t);
        EXPECT_EQ(*plain, t);
        const size_t place = static_cast<size_t>(i) * 97 % sizeof large_tls;
        EXPECT_EQ(large_tls[place], t);
        EXPECT_EQ(aligned_tls.bytes[i % 64], t + 100);
      }
      for (const char byte : large_tls) {
        if (byte != t) return reinterpret_cast<void*>(1);
      }
      return static_cast<void*>(nullptr);
    });
  }
  for (auto& thread : threads) EXPECT_EQ(thread.Join(), nullptr);
}

std::atomic<int> made;
std::atomic<int> ended;

struct Counted {
  Counted() : owner(pthread_self()) { ++made; }
  ~Counted() {
    EXPECT_TRUE(pthread_equal(owner, pthread_self()));
    EXPECT_EQ(text, std::string(1000, 'x'));
    sched_yield();
    ++ended;
  }
  pthread_t owner;
  std::string text = std::string(1000, 'x');
  int value = 0;
};

thread_local Counted counted;

TEST(Identity, CppThreadLocals) {
  made = ended = 0;
  Torture([](int t, int i, auto block) {
    if (i == 0) {
      EXPECT_EQ(counted.value, 0);
    }
    counted.value = t * 1000 + i;
    block();
    EXPECT_EQ(counted.value, t * 1000 + i);
    EXPECT_TRUE(pthread_equal(counted.owner, pthread_self()));
  });
  EXPECT_EQ(made, kThreads);
  EXPECT_EQ(ended, kThreads);
}

TEST(Identity, EveryThreadStartsWithFreshTls) {
  // One after the other: a recycled stack or TLS block must not show.
  for (int i = 0; i < 100; ++i) {
    Thread thread([] {
      const bool fresh =
          plain_tls == 41 && large_tls[1000] == 0 && tail_tls[1] == 'n' && counted.value == 0 && errno == 0;
      plain_tls = 1;
      large_tls[1000] = 1;
      tail_tls[1] = 1;
      counted.value = 1;
      errno = 1;
      fesetround(FE_DOWNWARD);
      return reinterpret_cast<void*>(fresh);
    });
    EXPECT_EQ(thread.Join(), reinterpret_cast<void*>(1));
    EXPECT_EQ(fegetround(), FE_TONEAREST);
  }
}

TEST(Identity, Keys) {
  pthread_key_t key;
  static std::atomic<int> freed;
  freed = 0;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 free(value);
                                 ++freed;
                               }),
            0);
  Torture([key](int t, int i, auto block) {
    if (i == 0) pthread_setspecific(key, malloc(sizeof(int)));
    int* value = static_cast<int*>(pthread_getspecific(key));
    *value = t * 1000 + i;
    block();
    EXPECT_EQ(pthread_getspecific(key), value);
    EXPECT_EQ(*value, t * 1000 + i);
  });
  EXPECT_EQ(freed, kThreads);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST(Identity, StrerrorAndOtherPerThreadBuffers) {
  Torture([](int t, int i, auto block) {
    const int unknown = 10'000 + t * 1000 + i;
    const std::string expected = "Unknown error " + std::to_string(unknown);
    const char* text = strerror(unknown);
    block();
    EXPECT_EQ(text, expected);
  });
}

}  // namespace
