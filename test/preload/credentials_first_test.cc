// SPDX-License-Identifier: Apache-2.0
// Tests that setuid and its family reach the process's first kernel thread, whatever has become of main: it has ended,
// is bound to another kernel thread, or the process was forked by a thread. Needs root.
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <vector>

#include "credentials.h"

namespace {

using test::BindToOneCpu;
using test::ChangeThereAndBack;
using test::Thread;

constexpr int kWell = 7;

bool Root() {
  if (geteuid() == 0) return true;
  printf("not root: nothing tested\n");
  return false;
}

// Threads that the child does not end: some move between kernel threads, one has its own, and some hold one in a call.
void LeaveThreads() {
  static int pipe_ends[2];
  CHILD_CHECK(pipe(pipe_ends) == 0);
  for (int i = 0; i < 6; ++i) {
    Thread([i] {
      if (i == 0) BindToOneCpu();
      if (i == 1 || i == 2) {
        char byte;
        syscall(SYS_read, pipe_ends[0], &byte, 1);
      }
      for (;;) usleep(1000);
      return nullptr;
    }).Release();
  }
  test::LetThemWait();
}

// Waits for the end of `other`, and ends the process.
void* ChangeAfter(pthread_t other) {
  CHILD_CHECK(pthread_join(other, nullptr) == 0);
  for (int i = 0; i < 20; ++i) Thread([] { return nullptr; });
  CHILD_CHECK(ChangeThereAndBack());
  CHILD_CHECK(test::InThread([] { return ChangeThereAndBack() ? kWell : 1; }) == kWell);
  CHILD_CHECK(test::InThread([] { return BindToOneCpu(), ChangeThereAndBack() ? kWell : 1; }) == kWell);
  _exit(kWell);
}

// Main does `first`, and ends.
template <typename Deed>
void MainEnds(Deed first) {
  LeaveThreads();
  first();
  const pthread_t main = pthread_self();
  Thread([main] { return ChangeAfter(main); }).Release();
  pthread_exit(nullptr);
}

template <typename Body>
void RunWell(Body body) {
  if (!Root()) return;
  EXPECT_TRUE(test::Exited(test::RunChild([&] {
                             body();
                             return kWell;
                           }),
                           kWell));
}

// The same, where a thread has forked.
template <typename Body>
void RunWellInAThread(Body body) {
  Thread([&] {
    RunWell(body);
    return nullptr;
  });
}

void Nothing() {}

// For what it has then, threads that it makes later have it, too.
void GetAKernelThread() {
  CHILD_CHECK(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 1) == 0);
}

TEST(CredentialsFirst, MainHasEnded) {
  RunWell([] { MainEnds(Nothing); });
}
TEST(CredentialsFirst, MainHasEndedOfAForkByAThread) {
  RunWellInAThread([] { MainEnds(Nothing); });
}
TEST(CredentialsFirst, MainWasBoundAndHasEnded) {
  RunWell([] { MainEnds(BindToOneCpu); });
}
TEST(CredentialsFirst, MainWasBoundAndHasEndedOfAForkByAThread) {
  RunWellInAThread([] { MainEnds(BindToOneCpu); });
}

// It keeps the first kernel thread, which ends with it.
TEST(CredentialsFirst, MainWasBoundFirstAndHasEnded) {
  RunWell([] {
    prctl(PR_SET_PDEATHSIG, 0);
    MainEnds(Nothing);
  });
}

TEST(CredentialsFirst, BoundMainOfAForkByAThread) {
  RunWellInAThread([] {
    LeaveThreads();
    BindToOneCpu();
    CHILD_CHECK(ChangeThereAndBack());
    CHILD_CHECK(test::InThread([] { return ChangeThereAndBack() ? kWell : 1; }) == kWell);
  });
}

TEST(CredentialsFirst, ForkedByABoundMain) {
  RunWell([] {
    LeaveThreads();
    BindToOneCpu();
    CHILD_CHECK(test::Exited(test::RunChild([] {
                               LeaveThreads();
                               CHILD_CHECK(ChangeThereAndBack());
                               return test::InThread([] { return ChangeThereAndBack() ? kWell : 1; });
                             }),
                             kWell));
    CHILD_CHECK(ChangeThereAndBack());
  });
}

// While a child lives main stays on the kernel thread that forked it.
TEST(CredentialsFirst, MainHasAChild) {
  RunWell([] {
    LeaveThreads();
    int ends[2];
    CHILD_CHECK(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
      char byte;
      close(ends[1]);
      _exit(static_cast<int>(read(ends[0], &byte, 1)));
    }
    CHILD_CHECK(ChangeThereAndBack());
    BindToOneCpu();
    CHILD_CHECK(ChangeThereAndBack());
    CHILD_CHECK(test::InThread([] { return ChangeThereAndBack() ? kWell : 1; }) == kWell);
    close(ends[1]);
    CHILD_CHECK(test::Exited(test::WaitFor(child), 0));
    CHILD_CHECK(ChangeThereAndBack());
  });
}

// Its threads have ended, so what it changes then is everybody's; it goes on with others.
TEST(CredentialsFirst, MainWasAloneAgain) {
  RunWell([] {
    for (int i = 0; i < 3; ++i) {
      {
        std::vector<Thread> threads;
        for (int k = 0; k < 4; ++k) threads.emplace_back([] { return nullptr; });
      }
      GetAKernelThread();
      CHILD_CHECK(ChangeThereAndBack());
    }
    LeaveThreads();
    CHILD_CHECK(ChangeThereAndBack());
    BindToOneCpu();
    CHILD_CHECK(ChangeThereAndBack());
  });
}

// A thread that libc made behind libmn's back, as a helper of its own.
TEST(CredentialsFirst, ChangedByLibcsOwnThread) {
  RunWell([] {
    LeaveThreads();
    BindToOneCpu();
    void* libc = dlopen("libc.so.6", RTLD_LAZY);
    CHILD_CHECK(libc != nullptr);
    const auto create = reinterpret_cast<decltype(&pthread_create)>(dlsym(libc, "pthread_create"));
    static std::atomic<int> result = -1;
    pthread_t thread;
    CHILD_CHECK(create(
                    &thread, nullptr, [](void*) -> void* { return result = ChangeThereAndBack(), nullptr; }, nullptr) ==
                0);
    CHILD_CHECK(test::Eventually([] { return result != -1; }) && result == 1);
    CHILD_CHECK(ChangeThereAndBack());
  });
}

TEST(CredentialsFirst, ManyChangeAtOnceAndMainIsBound) {
  RunWell([] {
    LeaveThreads();
    BindToOneCpu();
    const auto change = [] {
      for (int k = 0; k < 20; ++k) CHILD_CHECK(setresuid(0, k % 2 == 0 ? test::kOther : 0, 0) == 0);
    };
    std::vector<Thread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([change, i] {
        if (i % 3 == 0) BindToOneCpu();
        change();
        return nullptr;
      });
    }
    change();
    threads.clear();
    CHILD_CHECK(test::AllHave(geteuid()));
    CHILD_CHECK(ChangeThereAndBack());
  });
}

// Threads with kernel threads of their own come and go meanwhile; those that come have what was set last. Natively,
// too, libc does not ask a thread that is about to end, which is seen for a moment more.
TEST(CredentialsFirst, BesideBoundThreadsThatComeAndGo) {
  RunWell([] {
    LeaveThreads();
    BindToOneCpu();
    std::atomic<bool> over = false;
    std::vector<Thread> parents;
    for (int i = 0; i < 3; ++i) {
      parents.emplace_back([&, i] {
        if (i == 0) GetAKernelThread();
        while (!over) Thread([] { return BindToOneCpu(), nullptr; });
        return nullptr;
      });
    }
    for (int i = 0; i < 20; ++i) {
      for (const uid_t user : {test::kOther, uid_t{0}}) {
        CHILD_CHECK(seteuid(user) == 0);
        CHILD_CHECK(test::AllHave(user));
      }
    }
    over = true;
    parents.clear();
    CHILD_CHECK(ChangeThereAndBack());
  });
}

// Of main, which is bound, while another changes them.
TEST(CredentialsFirst, MainEndsMeanwhile) {
  for (int i = 0; i < 10; ++i) {
    RunWell([] {
      std::atomic<bool> begun = false;
      Thread([&begun, main = pthread_self()] {
        for (int k = 0; k < 100; ++k) {
          if (k == 20) begun = true;
          CHILD_CHECK(seteuid(k % 2 == 0 ? test::kOther : 0) == 0);
        }
        return ChangeAfter(main);
      }).Release();
      BindToOneCpu();
      while (!begun) sched_yield();
      pthread_exit(nullptr);
    });
  }
}

}  // namespace
