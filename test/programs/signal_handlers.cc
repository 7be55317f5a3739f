// SPDX-License-Identifier: Apache-2.0
// What handlers do, in threads that wait: signals for the process come to the one thread that does not block them;
// handlers wake others, block, and jump out of calls; and they run on alternate stacks where the thread's own has
// overflown.
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

#include <algorithm>

#include "threads.h"

namespace {

int g_pipe[2], g_answer[2];
sem_t g_sem, g_other;
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;

bool ReadByte(int fd) {
  char byte;
  ssize_t got;
  while ((got = read(fd, &byte, 1)) == -1 && errno == EINTR) continue;
  return got == 1;
}

bool WriteByte(int fd) {
  return write(fd, "", 1) == 1;
}

// Waits of threads, each with what ends it.
struct Wait {
  const char* name;
  void (*wait)();
  void (*end)();
};
bool g_over;  // g_mutex
const Wait kWaits[] = {
    {"sem_wait",
     [] {
       while (sem_wait(&g_sem) != 0) continue;
     },
     [] { sem_post(&g_sem); }},
    {"read", [] { Expect(ReadByte(g_pipe[0]), "read"); }, [] { Expect(WriteByte(g_pipe[1]), "write"); }},
    {"pthread_cond_wait",
     [] {
       pthread_mutex_lock(&g_mutex);
       while (!g_over) pthread_cond_wait(&g_cond, &g_mutex);
       g_over = false;
       pthread_mutex_unlock(&g_mutex);
     },
     [] {
       pthread_mutex_lock(&g_mutex);
       g_over = true;
       pthread_cond_broadcast(&g_cond);
       pthread_mutex_unlock(&g_mutex);
     }},
    {"poll",
     [] {
       pollfd p = {g_pipe[0], POLLIN, 0};
       while (poll(&p, 1, -1) != 1) continue;
       ReadByte(g_pipe[0]);
     },
     [] { Expect(WriteByte(g_pipe[1]), "write"); }},
};

// Many threads wait, and one of them does not block the signal.
void ForTheProcess() {
  static std::atomic<int> taker, wrong, taken;
  static thread_local int t_index;
  Mask(SIG_BLOCK, {SIGUSR1});
  Handle(
      SIGUSR1,
      [](int, siginfo_t*, void*) {
        if (t_index != taker) ++wrong;
        ++taken;
      },
      SA_RESTART);
  for (int round = 0; round < 12; ++round) {
    const Wait& wait = kWaits[round % 4];
    constexpr int kThreads = 6;
    taker = round % kThreads + 1;
    taken = 0;
    std::atomic<int> ready{0}, started{0};
    std::vector<std::unique_ptr<Thread>> threads;
    for (int i = 1; i <= kThreads; ++i)
      threads.push_back(std::make_unique<Thread>([&, i] {
        t_index = i;
        if (i == taker) Mask(SIG_UNBLOCK, {SIGUSR1});
        ++ready;
        if (i == taker) {
          wait.wait();
        } else {
          ++started;
          while (sem_wait(&g_other) != 0) continue;
        }
      }));
    Await([&] { return ready == kThreads; }, wait.name);
    for (int i = 1; i <= 5; ++i) {
      kill(getpid(), SIGUSR1);
      Await([&] { return taken == i; }, wait.name);
    }
    wait.end();
    for (int i = 1; i < kThreads; ++i) sem_post(&g_other);
    threads.clear();
    if (wrong != 0) Fail(wait.name, wrong);
  }
  Mask(SIG_UNBLOCK, {SIGUSR1});
}

// What handlers may do: all that is async-signal-safe, to block among it.
std::atomic<int> g_handled;
void (*const kDeeds[])(int, siginfo_t*, void*) = {
    [](int, siginfo_t*, void*) {
      sem_post(&g_other);
      ++g_handled;
    },
    [](int, siginfo_t*, void*) {
      Expect(WriteByte(g_answer[1]), "write");
      Expect(ReadByte(g_answer[0]), "read");
      ++g_handled;
    },
    [](int, siginfo_t*, void*) {
      const timespec a_while = {0, 100'000};
      nanosleep(&a_while, nullptr);
      ++g_handled;
    },
    [](int, siginfo_t*, void*) {
      while (sem_wait(&g_other) != 0) continue;
      ++g_handled;
    },
    [](int, siginfo_t*, void*) {
      Expect(ReadByte(g_answer[0]), "read");
      ++g_handled;
    },
    [](int, siginfo_t*, void*) {
      const pid_t child = fork();
      if (child == 0) _exit(7);
      int status = 0;
      while (waitpid(child, &status, 0) == -1) continue;
      if (WEXITSTATUS(status) == 7) ++g_handled;
    },
    [](int, siginfo_t*, void*) {  // the same wait again, in the handler of one that waits
      if (t_seen.count++ == 0) {
        raise(SIGUSR2);
        ++g_handled;
      }
    },
};

void Deeds() {
  Handle(SIGUSR2, Note, 0);
  for (const Wait& wait : kWaits)
    for (size_t deed = 0; deed < std::size(kDeeds); ++deed) {
      g_handled = 0;
      Handle(SIGUSR1, kDeeds[deed], SA_RESTART);
      std::atomic<bool> ready{false};
      Thread thread([&] {
        ready = true;
        errno = 0;
        wait.wait();
      });
      Await([&] { return ready.load(); }, wait.name);
      usleep(200);
      pthread_kill(thread.id, SIGUSR1);
      if (deed == 3) sem_post(&g_other);
      if (deed == 4) Expect(WriteByte(g_answer[1]), "write");
      Await([&] { return g_handled == 1; }, wait.name);
      wait.end();
      thread.Join();
      if (deed == 0) Expect(sem_trywait(&g_other) == 0, "a handler's sem_post is lost");
    }
}

// Out of calls that hold nothing: what glibc takes for a call it would keep.
thread_local sigjmp_buf* volatile t_jump;
thread_local std::atomic<int> t_spun;
void JumpSaved(int, siginfo_t*, void*) {
  if (t_jump != nullptr) siglongjmp(*t_jump, 1);
}
void JumpPlain(int, siginfo_t*, void*) {
  if (t_jump != nullptr) longjmp(*t_jump, 2);
}
void (*const kLeft[])() = {
    [] { pause(); },
    [] { sleep(30); },
    [] { usleep(30'000'000); },
    [] { poll(nullptr, 0, 30'000); },
    [] { select(0, nullptr, nullptr, nullptr, nullptr); },
    [] { ReadByte(g_answer[0]); },
    [] {
      sem_t mine;  // nobody else uses it
      sem_init(&mine, 0, 0);
      while (sem_wait(&mine) != 0) continue;
    },
    [] {
      pollfd p = {g_answer[0], POLLIN, 0};
      while (poll(&p, 1, -1) != 1) continue;
    },
    [] {
      for (t_spun = 0;;) ++t_spun;
    },
};

void Jumps() {
  Handle(SIGUSR1, JumpSaved, 0);
  Handle(SIGUSR2, JumpPlain, SA_NODEFER);
  for (const auto leave : kLeft) {
    std::atomic<bool> over{false};
    Thread thread([&] {
      for (std::atomic<int> round = 0; round < 4; ++round) {
        sigjmp_buf here;
        const int came = sigsetjmp(here, 1);
        if (came == 0) {
          t_jump = &here;
          leave();
          Fail("a call was not left", round, std::find(kLeft, std::end(kLeft), leave) - kLeft);
        }
        t_jump = nullptr;
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        Expect(sigismember(&mask, SIGUSR1) == 0, "the mask after a jump", came);
      }
      over = true;
    });
    for (int i = 0; !over; ++i) {
      pthread_kill(thread.id, i % 2 == 0 ? SIGUSR1 : SIGUSR2);
      usleep(300);
      Expect(i < 40'000, "jumps");
    }
  }
  Expect(WriteByte(g_answer[1]) && ReadByte(g_answer[0]), "the pipe after jumps");
}

thread_local sigjmp_buf t_back;
thread_local volatile uintptr_t t_lowest;
thread_local char* t_alternate;
thread_local volatile bool t_on_alternate;
constexpr size_t kAlternate = 64 << 10;

bool OnAlternate() {
  char here;
  const auto at = reinterpret_cast<uintptr_t>(&here), low = reinterpret_cast<uintptr_t>(t_alternate);
  return at >= low && at < low + kAlternate;
}

void Overflown(int, siginfo_t* info, void*) {
  stack_t now;
  sigaltstack(nullptr, &now);
  const auto below = static_cast<ptrdiff_t>(t_lowest - reinterpret_cast<uintptr_t>(info->si_addr));
  const bool good = OnAlternate() && (now.ss_flags & SS_ONSTACK) != 0 && below < (1 << 20) && below > -(1 << 20);
  siglongjmp(t_back, good ? 1 : 2);
}

__attribute__((noinline)) int Recurse(int depth) {
  volatile char frame[4000];
  frame[0] = static_cast<char>(depth);
  t_lowest = reinterpret_cast<uintptr_t>(frame);
  return depth < 0 ? 0 : Recurse(depth + 1) + frame[0];
}

void AlternateStacks() {
  Handle(SIGSEGV, Overflown, SA_ONSTACK);
  Handle(
      SIGUSR1, [](int, siginfo_t*, void*) { t_on_alternate = OnAlternate(); }, SA_ONSTACK);
  Handle(
      SIGUSR2, [](int, siginfo_t*, void*) { t_on_alternate = OnAlternate(); }, 0);
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 4; ++i)
    threads.push_back(std::make_unique<Thread>([] {
      stack_t old;
      Check(sigaltstack(nullptr, &old), "sigaltstack");
      Expect(old.ss_flags == SS_DISABLE, "a thread begins with an alternate stack");
      const std::unique_ptr<char[]> memory(t_alternate = new char[kAlternate]);
      stack_t stack = {};
      stack.ss_sp = t_alternate;
      stack.ss_size = kAlternate;
      Check(sigaltstack(&stack, nullptr), "sigaltstack");
      for (std::atomic<int> round = 0; round < 3; ++round) {
        const int came = sigsetjmp(t_back, 1);
        if (came == 0) Recurse(0);
        Expect(came == 1, "the overflow's handler", came);
        usleep(100);
        for (const int number : {SIGUSR1, SIGUSR2}) {
          raise(number);
          Expect(t_on_alternate == (number == SIGUSR1), "where a handler runs", number);
        }
      }
      Check(sigaltstack(nullptr, &old), "sigaltstack");
      Expect(old.ss_sp == t_alternate && old.ss_flags == 0, "the alternate stack is the thread's");
      stack.ss_flags = SS_DISABLE;
      Check(sigaltstack(&stack, nullptr), "sigaltstack");
      stack.ss_flags = 0;
      stack.ss_size = 100;
      Expect(sigaltstack(&stack, nullptr) == -1 && errno == ENOMEM, "a small alternate stack");
    }));
  threads.clear();
  signal(SIGSEGV, SIG_DFL);
}

}  // namespace

int main() {
  Check(pipe(g_pipe), "pipe");
  Check(pipe(g_answer), "pipe");
  sem_init(&g_sem, 0, 0);
  sem_init(&g_other, 0, 0);
  RunParts({{"a signal for the process finds its thread", ForTheProcess},
            {"handlers do what they may", Deeds},
            {"handlers jump", Jumps},
            {"stacks overflow", AlternateStacks}});
  return 0;
}
