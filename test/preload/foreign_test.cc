// SPDX-License-Identifier: Apache-2.0
// Tests threads that pthread_create did not make in the usual way: libc's helpers and dlsym's.
#include <aio.h>
#include <dlfcn.h>
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "util.h"

namespace {

using test::Thread;

sem_t timer_sem;
std::mutex timer_mutex;
std::condition_variable timer_cond;
int timer_runs;
thread_local int timer_local = 5;

TEST(Foreign, TimerThreads) {
  ASSERT_EQ(sem_init(&timer_sem, 0, 0), 0);
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_value.sival_int = 321;
  event.sigev_notify_function = [](sigval value) {
    EXPECT_EQ(value.sival_int, 321);
    EXPECT_EQ(timer_local, 5);
    {
      std::lock_guard lock(timer_mutex);
      ++timer_runs;
    }
    timer_cond.notify_all();
    Thread child([] { return nullptr; });
    sem_post(&timer_sem);
  };
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  const itimerspec times = {.it_interval = test::Ms(2), .it_value = test::Ms(1)};
  ASSERT_EQ(timer_settime(timer, 0, &times, nullptr), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sem_wait(&timer_sem), 0);
  Thread waiter([] {
    std::unique_lock lock(timer_mutex);
    const int before = timer_runs;
    timer_cond.wait(lock, [&] { return timer_runs > before + 2; });
    return nullptr;
  });
  waiter.Join();
  EXPECT_EQ(timer_delete(timer), 0);
  test::SleepMs(20);  // Let the last handlers end.
}

TEST(Foreign, AsynchronousIo) {
  static sem_t sem;
  ASSERT_EQ(sem_init(&sem, 0, 0), 0);
  FILE* file = tmpfile();
  ASSERT_NE(file, nullptr);
  constexpr int kRequests = 8;
  char bytes[kRequests][16];
  aiocb requests[kRequests] = {};
  for (int i = 0; i < kRequests; ++i) {
    memset(bytes[i], 'a' + i, sizeof bytes[i]);
    requests[i].aio_fildes = fileno(file);
    requests[i].aio_buf = bytes[i];
    requests[i].aio_nbytes = sizeof bytes[i];
    requests[i].aio_offset = static_cast<off_t>(i * sizeof bytes[i]);
    requests[i].aio_sigevent.sigev_notify = SIGEV_THREAD;
    requests[i].aio_sigevent.sigev_notify_function = [](sigval) { sem_post(&sem); };
    ASSERT_EQ(aio_write(&requests[i]), 0);
  }
  for (int i = 0; i < kRequests; ++i) {
    while (sem_wait(&sem) != 0) {
    }
  }
  for (auto& request : requests) {
    const aiocb* list[] = {&request};
    while (aio_error(&request) == EINPROGRESS) aio_suspend(list, 1, nullptr);
    EXPECT_EQ(aio_error(&request), 0);
    EXPECT_EQ(aio_return(&request), 16);
  }
  char read_back[kRequests * 16];
  EXPECT_EQ(pread(fileno(file), read_back, sizeof read_back, 0), static_cast<ssize_t>(sizeof read_back));
  for (int i = 0; i < kRequests; ++i) EXPECT_EQ(read_back[i * 16 + 15], 'a' + i);
  fclose(file);
}

TEST(Foreign, LibcsOwnPthreadCreate) {
  // As a library does that looks into libc itself. Such threads share locks with all the others.
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(libc, nullptr);
  auto* create = reinterpret_cast<decltype(&pthread_create)>(dlsym(libc, "pthread_create"));
  auto* join = reinterpret_cast<decltype(&pthread_join)>(dlsym(libc, "pthread_join"));
  ASSERT_NE(create, nullptr);
  ASSERT_NE(join, nullptr);
  struct Table {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    int turn = 0;
    static void Play(Table* table, int me) {
      for (int i = 0; i < 200; ++i) {
        pthread_mutex_lock(&table->mutex);
        while (table->turn % 4 != me) pthread_cond_wait(&table->cond, &table->mutex);
        ++table->turn;
        pthread_cond_broadcast(&table->cond);
        pthread_mutex_unlock(&table->mutex);
      }
    }
  } table;
  pthread_t foreign[2];
  ASSERT_EQ(create(
                &foreign[0], nullptr,
                [](void* p) -> void* {
                  Table::Play(static_cast<Table*>(p), 0);
                  return p;
                },
                &table),
            0);
  ASSERT_EQ(create(
                &foreign[1], nullptr,
                [](void* p) -> void* {
                  Table::Play(static_cast<Table*>(p), 2);
                  return p;
                },
                &table),
            0);
  {
    Thread one([&] {
      Table::Play(&table, 1);
      return nullptr;
    });
    Thread three([&] {
      Table::Play(&table, 3);
      return nullptr;
    });
  }
  for (const pthread_t thread : foreign) {
    void* result = nullptr;
    EXPECT_EQ(join(thread, &result), 0);
    EXPECT_EQ(result, &table);
  }
  EXPECT_EQ(table.turn, 800);
  dlclose(libc);
}

TEST(Foreign, TheyMakeSleepAndJoinThreads) {
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(libc, nullptr);
  auto* create = reinterpret_cast<decltype(&pthread_create)>(dlsym(libc, "pthread_create"));
  auto* join = reinterpret_cast<decltype(&pthread_join)>(dlsym(libc, "pthread_join"));
  static std::atomic<int> count;
  count = 0;
  static pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, [](void*) { ++count; }), 0);
  pthread_t threads[4];
  for (auto& thread : threads) {
    ASSERT_EQ(create(
                  &thread, nullptr,
                  [](void* p) -> void* {
                    pthread_setspecific(key, p);
                    // First: the thread's first malloc looks for the number of CPUs in /sys, which need not be there.
                    std::vector<Thread> children;
                    children.reserve(5);
                    errno = 31;
                    for (int i = 0; i < 5; ++i) {
                      children.emplace_back([] {
                        usleep(10);
                        ++count;
                        return nullptr;
                      });
                    }
                    children.clear();
                    sched_yield();
                    usleep(100);
                    EXPECT_EQ(errno, 31);
                    EXPECT_EQ(pthread_getspecific(key), p);
                    return p;
                  },
                  &key),
              0);
  }
  for (const pthread_t thread : threads) {
    void* result = nullptr;
    EXPECT_EQ(join(thread, &result), 0);
    EXPECT_EQ(result, &key);
  }
  EXPECT_EQ(count, 4 * 5 + 4);
  EXPECT_EQ(pthread_key_delete(key), 0);
  dlclose(libc);
}

TEST(Foreign, NamesAreLookedUpWhileOthersRun) {
  std::atomic<int> side = 0;
  Thread bystander([&] {
    for (; side < 50; ++side) usleep(10);
    return nullptr;
  });
  std::vector<Thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([] {
      addrinfo hints = {};
      hints.ai_flags = AI_NUMERICHOST;
      addrinfo* result = nullptr;
      EXPECT_EQ(getaddrinfo("127.0.0.1", "80", &hints, &result), 0);
      if (result != nullptr) freeaddrinfo(result);
      result = nullptr;
      EXPECT_NE(getaddrinfo("not a number", nullptr, &hints, &result), 0);
      return nullptr;
    });
  }
  threads.clear();
  bystander.Join();
  EXPECT_EQ(side, 50);
}

}  // namespace
