// SPDX-License-Identifier: Apache-2.0
// What the kernel ties to one thread of a process, which moves between kernel threads under libmn: the parent of a
// child, its tracer, the issuer of a ring, the target of a signal.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <thread>
#include <vector>

#include "util.h"

namespace test {
namespace {

void Wander() {
  for (int i = 0; i < 4; ++i) sched_yield();
  SleepMs(1);
}

// Steps a child that asked to be traced.
int Trace() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(kChildSeconds);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(90);
    for (int i = 0; i < 20; ++i) raise(SIGSTOP);
    _exit(7);
  }
  int stops = 0, status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    ++stops;
    Wander();
    if (ptrace(PTRACE_CONT, child, nullptr, nullptr) != 0) return -errno;
    Wander();
  }
  return Exited(status, 7) ? stops : -1000;
}

TEST(Children, AreTracedByTheThreadThatMadeThem) {
  EXPECT_EQ(Trace(), 20);
  std::atomic<bool> stop = false;
  std::thread computes([&] {
    while (!stop) {
    }
  });
  std::vector<Thread> tracers;
  for (int i = 0; i < 4; ++i)
    tracers.emplace_back([]() -> void* {
      EXPECT_EQ(Trace(), 20);
      return nullptr;
    });
  tracers.clear();
  stop = true;
  computes.join();
}

TEST(Children, AreTracedByTheThreadThatSeizedThem) {
  HereAndInAThread([] {
    const pid_t child = fork();
    if (child == 0) {
      for (;;) pause();
    }
    ASSERT_EQ(ptrace(PTRACE_SEIZE, child, nullptr, nullptr), 0);
    for (int i = 0; i < 10; ++i) {
      Wander();
      ASSERT_EQ(ptrace(PTRACE_INTERRUPT, child, nullptr, nullptr), 0);
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      Wander();
      ASSERT_EQ(ptrace(PTRACE_CONT, child, nullptr, nullptr), 0);
    }
    kill(child, SIGKILL);
    EXPECT_TRUE(Killed(WaitFor(child), SIGKILL));
  });
}

// A child that wants to know of its parent's end lives as long as the thread that made it. `ready` gets a byte from it.
pid_t ChildThatFollows(int ready, pid_t (*make)()) {
  const pid_t child = make();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)!write(ready, "x", 1);
    alarm(kChildSeconds);
    for (;;) pause();
  }
  return child;
}

TEST(Children, LearnOfTheEndOfTheThreadThatMadeThem) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = -1;
  char byte;
  Gate looked;
  {
    Thread parent([&]() -> void* {
      child = ChildThatFollows(ready[1], fork);
      EXPECT_EQ(read(ready[0], &byte, 1), 1);
      for (int i = 0; i < 5; ++i) Wander();
      EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
      return nullptr;
    });
  }
  EXPECT_TRUE(Killed(WaitFor(child), SIGKILL));
  // Main's lives on.
  child = ChildThatFollows(ready[1], fork);
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  for (int i = 0; i < 20; ++i) Thread([]() -> void* { return nullptr; });
  Wander();
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
  kill(child, SIGKILL);
  EXPECT_TRUE(Killed(WaitFor(child), SIGKILL));
}

// Children of many threads, reaped by others: none is forgotten, and all threads go on.
TEST(Children, ReapedByOtherThreads) {
  std::vector<Thread> threads;
  std::atomic<int> made = 0, reaped = 0;
  constexpr int kEach = 20, kThreads = 4;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&]() -> void* {
      for (int i = 0; i < kEach; ++i) {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        if (child > 0) ++made;
        Wander();
        if (waitpid(-1, nullptr, WNOHANG) > 0) ++reaped;
      }
      return nullptr;
    });
  threads.clear();
  while (waitpid(-1, nullptr, 0) > 0) ++reaped;
  EXPECT_EQ(made, kThreads * kEach);
  EXPECT_EQ(reaped, made);
}

// By an instruction, as liburing does.
long Enter(long fd, long submit) {
  long result;
  register long r10 __asm__("r10") = 0;
  register long r8 __asm__("r8") = 0;
  register long r9 __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_io_uring_enter), "D"(fd), "S"(submit), "d"(0L), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

TEST(Issuer, OfARingIsTheThreadThatMadeIt) {
  constexpr unsigned kSingleIssuer = 1u << 12;
  std::vector<Thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([]() -> void* {
      io_uring_params params{};
      params.flags = kSingleIssuer;
      const long fd = syscall(SYS_io_uring_setup, 4, &params);
      if (fd < 0) {
        EXPECT_TRUE(errno == EPERM || errno == ENOSYS || errno == EINVAL);  // not everywhere
        return nullptr;
      }
      const size_t size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
      auto* ring = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                                           static_cast<int>(fd), IORING_OFF_SQ_RING));
      auto* entries =
          static_cast<io_uring_sqe*>(mmap(nullptr, params.sq_entries * sizeof(io_uring_sqe), PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_POPULATE, static_cast<int>(fd), IORING_OFF_SQES));
      auto* tail = reinterpret_cast<unsigned*>(ring + params.sq_off.tail);
      auto* array = reinterpret_cast<unsigned*>(ring + params.sq_off.array);
      for (unsigned round = 0; round < 20; ++round) {
        entries[0] = {};
        entries[0].opcode = IORING_OP_NOP;
        array[round & (params.sq_entries - 1)] = 0;
        __atomic_store_n(tail, round + 1, __ATOMIC_RELEASE);  // pairs with the kernel's load
        EXPECT_EQ(Enter(fd, 1), 1);
        Wander();
      }
      close(static_cast<int>(fd));
      return nullptr;
    });
}

thread_local int t_handled;

// A timer and a file that signal one thread, by its number.
TEST(Target, OfATimerIsTheThreadThatItNames) {
  signal(SIGUSR1, [](int) { ++t_handled; });
  std::vector<Thread> threads;
  std::atomic<int> strays = 0;
  std::atomic<bool> stop = false;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&]() -> void* {
      while (!stop) Wander();
      strays += t_handled;
      return nullptr;
    });
  Thread([]() -> void* {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    timer_t timer;
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    itimerspec often{{0, 1'000'000}, {0, 1'000'000}};
    timer_settime(timer, 0, &often, nullptr);
    EXPECT_TRUE(Eventually([] {
      Wander();
      return t_handled >= 20;
    }));
    timer_delete(timer);
    return nullptr;
  });
  Thread([]() -> void* {
    const int before = t_handled;
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    f_owner_ex owner{F_OWNER_TID, static_cast<pid_t>(syscall(SYS_gettid))};
    EXPECT_EQ(fcntl(ends[0], F_SETOWN_EX, &owner), 0);
    EXPECT_EQ(fcntl(ends[0], F_SETSIG, SIGUSR1), 0);
    EXPECT_EQ(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK), 0);
    for (int i = 1; i <= 10; ++i) {
      Wander();
      EXPECT_EQ(write(ends[1], "x", 1), 1);
      EXPECT_TRUE(Eventually([&] { return t_handled >= before + i; }));
    }
    close(ends[0]);
    close(ends[1]);
    return nullptr;
  });
  stop = true;
  threads.clear();
  EXPECT_EQ(strays, 0);
}

}  // namespace
}  // namespace test
