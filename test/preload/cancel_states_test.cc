// SPDX-License-Identifier: Apache-2.0
// Tests cancellation, deferred and asynchronous, of threads in every state: computing, waiting in each way, blocked in
// the kernel, not yet running. Clean-up handlers run once, and nothing leaks.
#include <dirent.h>
#include <sched.h>
#include <semaphore.h>

#include "blocks.h"
#include "waits.h"

namespace {

using test::Gate;
using test::Thread;

enum class Type { kDeferred, kAsynchronous };
constexpr Type kTypes[] = {Type::kDeferred, Type::kAsynchronous};

void Become(Type type) {
  pthread_setcanceltype(type == Type::kAsynchronous ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, nullptr);
}

int OpenDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  int n = 0;
  while (const dirent* entry = readdir(folder)) n += atoi(entry->d_name) < 900;  // NOLINT: no name is too long
  closedir(folder);
  return n;
}

// A thread that calls body() again and again until it is cancelled.
class Victim {
 public:
  Victim(Type type, std::function<void()> body)
      : type_(type), body_(std::move(body)), thread_([this] {
          Run();
          return nullptr;
        }) {}

  bool began() const { return began_; }
  int cleaned() const { return cleaned_; }
  void AwaitBegin() {
    EXPECT_TRUE(test::Eventually([this] { return began_.load(); }));
    test::LetThemWait();
  }
  void Cancel() { EXPECT_EQ(pthread_cancel(thread_.id()), 0); }
  void CheckEnd() {
    EXPECT_EQ(thread_.Join(), PTHREAD_CANCELED);
    EXPECT_EQ(cleaned_, began_ ? 1 : 0);
    EXPECT_EQ(unwound_, began_ ? 1 : 0);
  }

 private:
  void Run() {
    struct Unwinds {
      std::atomic<int>& count;
      ~Unwinds() { ++count; }
    } unwinds{unwound_};
    pthread_cleanup_push([](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &cleaned_);
    Repeat();
    pthread_cleanup_pop(0);
  }
  // Apart: of a function that has something to clean up, C++ unwinds calls only, and ends the program elsewhere.
  __attribute__((noinline)) void Repeat() {
    Become(type_);
    began_ = true;
    for (;;) body_();
  }

  Type type_;
  std::function<void()> body_;
  std::atomic<bool> began_ = false;
  std::atomic<int> cleaned_ = 0, unwound_ = 0;
  Thread thread_;
};

void CancelIn(Type type, const std::function<void()>& body, int times = 2) {
  SCOPED_TRACE(type == Type::kDeferred ? "deferred" : "asynchronous");
  for (int i = 0; i < times; ++i) {
    Victim victim(type, body);
    victim.AwaitBegin();
    victim.Cancel();
    victim.CheckEnd();
  }
}

void Compute(uint64_t rounds) {
  for (uint64_t i = 0; i < rounds; ++i) __asm__ volatile("");
}

TEST(CancelStates, Computing) {
  for (int i = 0; i < 6; ++i) {
    Victim victim(Type::kAsynchronous, [] { Compute(~uint64_t{0}); });
    if (i % 2 == 0) victim.AwaitBegin();
    while (!victim.began()) sched_yield();
    victim.Cancel();
    victim.CheckEnd();
  }
}

// More than there are CPUs: most of them do not run when they are cancelled.
TEST(CancelStates, ManyThatCompute) {
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<Victim>> victims;
    for (int i = 0; i < 6; ++i) {
      victims.push_back(std::make_unique<Victim>(Type::kAsynchronous, [] { Compute(~uint64_t{0}); }));
    }
    for (auto& victim : victims) victim->AwaitBegin();
    for (auto& victim : victims) victim->Cancel();
    for (auto& victim : victims) victim->CheckEnd();
  }
}

TEST(CancelStates, ComputingWithPointsInBetween) {
  CancelIn(Type::kDeferred, [] {
    Compute(1000);
    pthread_testcancel();
  });
}

// Calls that are short and no cancellation points: a thread may be in any of their instructions.
TEST(CancelStates, InTheMidstOfShortCalls) {
  sem_t sem;
  ASSERT_EQ(sem_init(&sem, 0, 0), 0);
  std::atomic<uint32_t> word = 0;
  const std::function<void()> bodies[] = {
      [] { sched_yield(); },
      [&] {
        sem_post(&sem);
        sem_trywait(&sem);
      },
      [&] { syscall(SYS_futex, &word, 1 | 128 /* FUTEX_WAKE_PRIVATE */, 1); },
      [] { getppid(); },
      [] { pthread_kill(pthread_self(), 0); },
  };
  for (const auto& body : bodies) CancelIn(Type::kAsynchronous, body, 3);
  // Those who were not cancelled are served as ever.
  Thread poster([&] {
    sem_post(&sem);
    return nullptr;
  });
  while (sem_wait(&sem) != 0) {
  }
  EXPECT_EQ(test::InThread([] { return sched_yield(); }), 0);
}

TEST(CancelStates, WaitingForDescriptors) {
  for (const Type type : kTypes) {
    const int before = OpenDescriptors();
    test::ForEachWait([type](test::Wait& wait) {
      CancelIn(type, [&] { wait.Call(); });
      wait.Release();
      EXPECT_EQ(wait.Call(), wait.Expected());
    });
    EXPECT_EQ(OpenDescriptors(), before);
  }
}

TEST(CancelStates, Sleeping) {
  for (const Type type : kTypes) {
    CancelIn(type, [] { sleep(100); });
    CancelIn(type, [] { usleep(100'000'000); });
    CancelIn(type, [] {
      const timespec time = test::Ms(100'000);
      nanosleep(&time, nullptr);
    });
  }
}

TEST(CancelStates, WaitingForSemaphores) {
  sem_t sem;
  ASSERT_EQ(sem_init(&sem, 0, 0), 0);
  for (const Type type : kTypes) {
    CancelIn(type, [&] { sem_wait(&sem); });
    CancelIn(type, [&] {
      const timespec deadline = test::In(CLOCK_REALTIME, 100'000);
      sem_timedwait(&sem, &deadline);
    });
  }
  EXPECT_EQ(sem_post(&sem), 0);
  EXPECT_EQ(sem_trywait(&sem), 0);
  EXPECT_EQ(sem_trywait(&sem), -1);
}

TEST(CancelStates, WaitingForConditionVariables) {
  struct State {
    pthread_mutex_t mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    bool waiting = false;
    int unlocked = -1;
  };
  for (const Type type : kTypes) {
    for (int i = 0; i < 20; ++i) {
      State state;
      Thread thread([&]() -> void* {
        pthread_mutex_lock(&state.mutex);
        pthread_cleanup_push(
            [](void* argument) {
              auto* s = static_cast<State*>(argument);
              s->unlocked = pthread_mutex_unlock(&s->mutex);
            },
            &state);
        Become(type);
        state.waiting = true;
        for (;;) {
          if (i % 2 == 0) {
            pthread_cond_wait(&state.cond, &state.mutex);
          } else {
            const timespec deadline = test::In(CLOCK_REALTIME, 100'000);
            pthread_cond_timedwait(&state.cond, &state.mutex, &deadline);
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
      // Held while it is cancelled, every third time: the handler comes when it has been let go.
      if (i % 3 == 0) pthread_mutex_lock(&state.mutex);
      EXPECT_EQ(pthread_cancel(thread.id()), 0);
      if (i % 3 == 0) {
        test::LetThemWait();
        EXPECT_EQ(state.unlocked, -1);
        pthread_mutex_unlock(&state.mutex);
      }
      EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
      EXPECT_EQ(state.unlocked, 0);  // It was the owner when its handler ran.
      EXPECT_EQ(pthread_mutex_trylock(&state.mutex), 0);
      EXPECT_EQ(pthread_mutex_unlock(&state.mutex), 0);
    }
  }
}

TEST(CancelStates, Joining) {
  for (const Type type : kTypes) {
    Gate gate;
    Thread target([&] {
      gate.Wait();
      return nullptr;
    });
    CancelIn(type, [&] {
      pthread_join(target.id(), nullptr);
      ADD_FAILURE() << "joined";
    });
    gate.Open();
    EXPECT_EQ(target.Join(), nullptr);
  }
}

TEST(CancelStates, WaitingForSignals) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  for (const Type type : kTypes) {
    CancelIn(type, [] { pause(); });
    CancelIn(type, [&] {
      int sig;
      sigwait(&set, &sig);
    });
    CancelIn(type, [&] { sigsuspend(&set); });
    CancelIn(type, [&] { ppoll(nullptr, 0, nullptr, &set); });
  }
}

constexpr bool IsPoint(std::string_view name) {
  return name != "flock" && name.substr(0, 5) != "semop" && name != "sendfile";
}

// What cannot be polled. Not all of it is a cancellation point: a deferred cancellation leaves the others alone.
TEST(CancelStates, BlockedInTheKernel) {
  for (const Type type : kTypes) {
    test::ForEachBlock([type](const test::Block& block) {
      // wait4 is declared as one that throws nothing: C++ ends a program when it is unwound.
      if (block.name == "wait 1") return;
      const bool acts = type == Type::kAsynchronous || IsPoint(block.name);
      if (acts) CancelIn(type, [&] { block.call(); });
      std::atomic<bool> ready = false, done = false;
      ssize_t result = -1;
      int error = 0;
      Thread thread([&]() -> void* {
        Become(type);
        pthread_setcancelstate(acts ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE, nullptr);
        ready = true;
        result = block.call();
        error = errno;
        done = true;
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
        pthread_testcancel();
        return nullptr;
      });
      EXPECT_TRUE(test::Eventually([&] { return ready.load(); }));
      test::LetThemWait();
      EXPECT_EQ(pthread_cancel(thread.id()), 0);
      test::LetThemWait();
      const bool interrupted = !acts && test::CancelAlwaysSignals() && done;
      EXPECT_EQ(done, interrupted);
      block.release();
      EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
      EXPECT_EQ(result, interrupted ? -1 : block.expected);
      if (interrupted) {
        EXPECT_EQ(error, EINTR);
      }
    });
  }
}

TEST(CancelStates, NotYetRunning) {
  for (int i = 0; i < 200; ++i) {
    Victim victim(Type::kDeferred, [] { pause(); });
    victim.Cancel();
    victim.CheckEnd();
  }
}

// A thread is asynchronous for the length of one call only: between the calls it acts at points alone.
TEST(CancelStates, AsynchronousAroundACall) {
  test::TemporaryFile file;
  const int mine = open(file.path(), O_RDWR);
  for (const bool blocks : {false, true}) {
    for (int i = 0; i < 10; ++i) {
      if (blocks) {
        EXPECT_EQ(flock(file.fd(), LOCK_EX), 0);
      }
      std::atomic<bool> began = false;
      std::atomic<int> critical = 0;
      Thread thread([&]() -> void* {
        began = true;
        for (;;) {
          ++critical;
          Compute(100);
          --critical;
          pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
          flock(mine, LOCK_EX);
          pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr);
          flock(mine, LOCK_UN);
        }
      });
      EXPECT_TRUE(test::Eventually([&] { return began.load(); }));
      if (blocks || i % 2 == 0) test::LetThemWait();
      EXPECT_EQ(pthread_cancel(thread.id()), 0);
      EXPECT_EQ(thread.Join(), PTHREAD_CANCELED);
      EXPECT_EQ(critical, 0);
      EXPECT_EQ(flock(mine, LOCK_UN), 0);
      EXPECT_EQ(flock(file.fd(), LOCK_UN), 0);
    }
  }
  close(mine);
}

// Others, asynchronous and innocent, run on the same kernel threads.
TEST(CancelStates, NobodyElse) {
  // sched_yield is declared as one that throws nothing: C++ ends a program when it is unwound. Called so, it may be.
  int (*volatile yield)() = sched_yield;
  std::atomic<bool> stop = false;
  std::vector<Thread> innocent;
  for (int i = 0; i < 4; ++i) {
    innocent.emplace_back([&, i]() -> void* {
      if (i % 2 == 0) Become(Type::kAsynchronous);
      while (!stop) {
        if (i < 2) {
          sched_yield();
        } else {
          Compute(1000);
        }
      }
      Become(Type::kDeferred);
      pthread_testcancel();
      return &stop;
    });
  }
  for (int i = 0; i < 20; ++i) {
    Victim victim(i % 3 == 0 ? Type::kDeferred : Type::kAsynchronous, [i, yield] {
      if (i % 2 == 0) yield();
      if (i % 3 == 0) pthread_testcancel();
    });
    while (!victim.began()) sched_yield();
    victim.Cancel();
    victim.CheckEnd();
  }
  stop = true;
  for (auto& thread : innocent) EXPECT_EQ(thread.Join(), &stop);
}

}  // namespace
