// SPDX-License-Identifier: Apache-2.0
// Helpers shared by the preload tests: deadlines, threads made of lambdas, gates, child processes.
#ifndef TEST_PRELOAD_UTIL_H_
#define TEST_PRELOAD_UTIL_H_

#include <errno.h>
#include <gnu/libc-version.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "../quiet.h"

namespace test {

inline constexpr int64_t kNsPerMs = 1'000'000;
inline constexpr int64_t kNsPerSecond = 1'000'000'000;

inline int64_t ToNs(const timespec& t) {
  return t.tv_sec * kNsPerSecond + t.tv_nsec;
}

inline timespec FromNs(int64_t ns) {
  return {.tv_sec = ns / kNsPerSecond, .tv_nsec = ns % kNsPerSecond};
}

inline timespec Ms(int64_t ms) {
  return FromNs(ms * kNsPerMs);
}

inline int64_t NowNs(clockid_t clock = CLOCK_MONOTONIC) {
  timespec now;
  clock_gettime(clock, &now);
  return ToNs(now);
}

// The absolute time that is `ms` from now (or ago, if negative).
inline timespec In(clockid_t clock, int64_t ms) {
  return FromNs(NowNs(clock) + ms * kNsPerMs);
}

inline void SleepMs(int64_t ms) {
  timespec left = Ms(ms);
  while (nanosleep(&left, &left) == -1 && errno == EINTR) {
  }
}

// Polls until `done` holds. False after 20 seconds, which only a hang takes.
template <typename Predicate>
bool Eventually(Predicate done) {
  const int64_t deadline = NowNs() + 20 * kNsPerSecond;
  while (!done()) {
    if (NowNs() > deadline) return false;
    SleepMs(1);
  }
  return true;
}

// The first CPU of `cpus` alone.
inline cpu_set_t FirstOf(const cpu_set_t& cpus) {
  int first = 0;
  while (!CPU_ISSET(first, &cpus)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  return one;
}

// From 2.41 on glibc signals every thread that it cancels and that has it enabled. A call that is no cancellation point
// and is never restarted then ends with EINTR.
inline bool CancelAlwaysSignals() {
  int minor = 0;
  return sscanf(gnu_get_libc_version(), "2.%d", &minor) == 1 && minor >= 41;
}

// Returns when all other threads wait, or have computed for a while.
inline void LetThemWait() {
  AwaitQuiet();
}

// A thread that runs `body`; joined by Join() or, if nobody did, by the destructor.
class Thread {
 public:
  using Body = std::function<void*()>;

  explicit Thread(Body body, const pthread_attr_t* attr = nullptr) {
    auto* copy = new Body(std::move(body));
    const int error = pthread_create(&id_, attr, &Start, copy);
    EXPECT_EQ(error, 0);
    joinable_ = error == 0;
    if (error != 0) delete copy;
  }
  Thread(Thread&& other) noexcept : id_(other.id_), joinable_(std::exchange(other.joinable_, false)) {}
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  Thread& operator=(Thread&&) = delete;
  ~Thread() {
    if (joinable_) Join();
  }

  void* Join() {
    void* result = nullptr;
    EXPECT_EQ(pthread_join(id_, &result), 0);
    joinable_ = false;
    return result;
  }
  // Somebody else has joined or detached it.
  void Release() { joinable_ = false; }
  pthread_t id() const { return id_; }

 private:
  static void* Start(void* argument) {
    std::unique_ptr<Body> body(static_cast<Body*>(argument));
    return (*body)();
  }

  pthread_t id_{};
  bool joinable_ = false;
};

// What `body` gives when a new thread runs it.
inline int InThread(const std::function<int()>& body) {
  int result = -1;
  Thread([&] {
    result = body();
    return nullptr;
  });
  return result;
}

// Runs `body` in this thread, which is main in most tests, and again in a new one.
template <typename Body>
void HereAndInAThread(Body body) {
  body();
  Thread([&] {
    body();
    return nullptr;
  });
}

// Closed until Open(); everybody who waits then passes.
class Gate {
 public:
  ~Gate() {
    pthread_cond_destroy(&cond_);
    pthread_mutex_destroy(&mutex_);
  }
  void Open() {
    pthread_mutex_lock(&mutex_);
    open_ = true;
    pthread_cond_broadcast(&cond_);
    pthread_mutex_unlock(&mutex_);
  }
  void Wait() {
    pthread_mutex_lock(&mutex_);
    while (!open_) pthread_cond_wait(&cond_, &mutex_);
    pthread_mutex_unlock(&mutex_);
  }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond_ = PTHREAD_COND_INITIALIZER;
  bool open_ = false;
};

// Ends a child process that finds `condition` false.
#define CHILD_CHECK(condition)                                               \
  do {                                                                       \
    if (!(condition)) {                                                      \
      dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      _exit(99);                                                             \
    }                                                                        \
  } while (0)

inline constexpr int kChildSeconds = 30;

// Waits for a child and gives what waitpid() said, or -1.
inline int WaitFor(pid_t child) {
  int status = -1;
  pid_t got;
  do {
    got = waitpid(child, &status, 0);
  } while (got == -1 && errno == EINTR);
  return got == child ? status : -1;
}

// Forks, runs `body` in the child, which exits with what it returns, and gives waitpid()'s status.
template <typename Body>
int RunChild(Body body) {
  fflush(nullptr);
  const pid_t child = fork();
  if (child == -1) return -1;
  if (child == 0) {
    alarm(kChildSeconds);
    _exit(body());
  }
  return WaitFor(child);
}

inline bool Exited(int status, int code) {
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

inline bool Killed(int status, int signal) {
  return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

// Kills the program with SIGALRM when one test hangs: the last "[ RUN ]" line then names it.
class Watchdog : public testing::EmptyTestEventListener {
 public:
  void OnTestStart(const testing::TestInfo&) override { alarm(60); }
  void OnTestEnd(const testing::TestInfo&) override { alarm(0); }
  static bool Install() {
    testing::UnitTest::GetInstance()->listeners().Append(new Watchdog);
    return true;
  }
};
inline const bool kWatchdog = Watchdog::Install();

}  // namespace test

#endif  // TEST_PRELOAD_UTIL_H_
