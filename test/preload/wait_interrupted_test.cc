// SPDX-License-Identifier: Apache-2.0
// Tests waits that handlers leave by jumps, and that nobody is interrupted for what is none of his: for another thread,
// or for what has been looked at before.
#include <semaphore.h>
#include <setjmp.h>

#include <vector>

#include "signals.h"

namespace {

using test::Thread;

thread_local sigjmp_buf out;
void Jump(int) {
  siglongjmp(out, 1);
}

TEST(WaitInterrupted, IsLeftByAJump) {
  test::Handler handler(SIGUSR1, Jump);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  sem_t sem;
  EXPECT_EQ(sem_init(&sem, 0, 0), 0);
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 40; ++i) {
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pthread_barrier_t barrier;
    EXPECT_EQ(pthread_barrier_init(&barrier, nullptr, 2), 0);
    const std::function<void()> waits[] = {
        [&] {
          pthread_mutex_lock(&own);
          pthread_cond_wait(&cond, &own);
        },
        [&] { pthread_mutex_lock(&mutex); },
        [&] { sem_wait(&sem); },
        [&] { pthread_barrier_wait(&barrier); },
        [&] { sleep(100); },
    };
    const auto& wait = waits[i % 5];
    std::atomic<bool> ready = false, jumped = false;
    Thread thread([&]() -> void* {
      if (sigsetjmp(out, 1) == 0) {
        ready = true;
        wait();
      }
      jumped = true;
      return nullptr;
    });
    EXPECT_TRUE(test::Eventually([&] { return ready.load(); }));
    test::SleepMs(2);
    EXPECT_EQ(pthread_kill(thread.id(), SIGUSR1), 0);
    thread.Join();
    EXPECT_TRUE(jumped);
  }
  EXPECT_EQ(sem_post(&sem), 0);
  EXPECT_EQ(sem_trywait(&sem), 0);
  pthread_mutex_unlock(&mutex);
}

// Threads that no signal is sent to, and threads that come and go, among those that are sent many.
TEST(WaitInterrupted, ByOnesOwnHandlersOnly) {
  test::Handler handler(SIGUSR1, test::Count);
  std::atomic<bool> stop = false;
  std::atomic<int> for_nothing = 0;
  sem_t sem;
  EXPECT_EQ(sem_init(&sem, 0, 0), 0);
  auto wait = [&](int round) {
    const timespec time = test::FromNs(200'000);
    const timespec deadline = test::FromNs(test::NowNs(CLOCK_REALTIME) + 200'000);
    return round % 2 == 0 ? nanosleep(&time, nullptr) : sem_timedwait(&sem, &deadline);
  };
  auto body = [&]() -> void* {
    for (int i = 0; !stop; ++i) {
      const int before = test::handled_here;
      if (wait(i) == 0 || errno != EINTR) continue;
      if (test::handled_here == before) ++for_nothing;
    }
    return nullptr;
  };
  std::vector<Thread> targets, others;
  for (int i = 0; i < 3; ++i) targets.emplace_back(body);
  for (int i = 0; i < 3; ++i) others.emplace_back(body);
  others.emplace_back([&]() -> void* {
    while (!stop) {
      Thread brief([&]() -> void* {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
        if (wait(0) != 0) ++for_nothing;
        return nullptr;
      });
      pthread_cancel(brief.id());
    }
    return nullptr;
  });
  for (int i = 0; i < 3000; ++i) {
    EXPECT_EQ(pthread_kill(targets[static_cast<size_t>(i % 3)].id(), SIGUSR1), 0);
    if (i % 10 == 0) usleep(200);
  }
  stop = true;
  targets.clear();
  others.clear();
  EXPECT_EQ(for_nothing, 0);
  EXPECT_GT(test::handled, 0);
}

}  // namespace
