// SPDX-License-Identifier: Apache-2.0
// What whole programs about threads, signals and cancellation share: threads of any function, patience, and handlers
// that note what they see.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "chaos.h"

constexpr int64_t kPatienceNs = 20'000'000'000;

inline void Expect(bool holds, const char* what, int64_t a = 0, int64_t b = 0) {
  if (!holds) Fail(what, a, b);
}

class Thread {
 public:
  explicit Thread(std::function<void()> body) : body_(std::move(body)) {
    const int error = pthread_create(&id, nullptr, Run, this);
    Expect(error == 0, "pthread_create", error);
  }
  ~Thread() { Join(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  void Join() {
    timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 20;
    if (!joined_) Expect(pthread_timedjoin_np(id, nullptr, &end) == 0, "a thread does not end");
    joined_ = true;
  }
  pthread_t id{};

 private:
  static void* Run(void* self) {
    static_cast<Thread*>(self)->body_();
    return nullptr;
  }
  std::function<void()> body_;
  bool joined_ = false;
};

inline sigset_t Set(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}

inline void Mask(int how, std::initializer_list<int> numbers) {
  const sigset_t set = Set(numbers);
  Expect(pthread_sigmask(how, &set, nullptr) == 0, "pthread_sigmask");
}

inline void Handle(int number, void (*handler)(int, siginfo_t*, void*), int flags,
                   std::initializer_list<int> mask = {}) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  action.sa_mask = Set(mask);
  Check(sigaction(number, &action, nullptr), "sigaction");
}

// What a thread's handler has seen.
struct Seen {
  std::atomic<int> count{0}, number{0}, code{0}, value{0}, pid{0};
  std::atomic<bool> elsewhere{false};
  pthread_t self = pthread_self();
};
inline thread_local Seen t_seen;

inline void Note(int number, siginfo_t* info, void*) {
  Seen& seen = t_seen;
  if (!pthread_equal(seen.self, pthread_self())) seen.elsewhere = true;
  seen.number = number;
  seen.code = info->si_code;
  seen.value = info->si_value.sival_int;
  seen.pid = info->si_pid;
  ++seen.count;
}
