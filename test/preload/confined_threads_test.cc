// SPDX-License-Identifier: Apache-2.0
// Tests filters that let through what the threads that there are need, and not what new stacks or kernel threads take:
// natively those go on, each can block for itself, and new ones run on the stacks of those that have ended.
#include <gtest/gtest.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

#include "confined.h"

namespace {

using Calls = std::vector<long>;

// Four stacks of 8 MiB are within what libc keeps.
constexpr int kThreads = 4;
constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM, kKill = SECCOMP_RET_KILL_PROCESS;

const Calls kOfThoseThatThereAre = {SYS_read,    SYS_write, SYS_futex,     SYS_rt_sigprocmask,
                                    SYS_madvise, SYS_exit,  SYS_exit_group};
const Calls kOfNewOnes = {SYS_clone3, SYS_clone, SYS_rseq, SYS_set_robust_list};

Calls Both(Calls calls, const Calls& others) {
  calls.insert(calls.end(), others.begin(), others.end());
  return calls;
}

// Threads that read from a pipe each, when they may.
struct Readers {
  pthread_t threads[kThreads];
  int ends[kThreads][2];
  sem_t begun, may_read, about_to;

  static void* Run(void* arg) {
    auto* self = static_cast<Readers*>(arg);
    sem_post(&self->begun);
    while (sem_wait(&self->may_read) != 0) continue;
    static std::atomic<int> next{0};
    const int mine = next++ % kThreads;
    char byte = 0;
    sem_post(&self->about_to);
    return read(self->ends[mine][0], &byte, 1) == 1 && byte == 'x' ? self : nullptr;
  }

  bool Begin() {
    sem_init(&begun, 0, 0);
    sem_init(&may_read, 0, 0);
    sem_init(&about_to, 0, 0);
    for (auto& pair : ends)
      if (pipe(pair) != 0) return false;
    return true;
  }

  bool Create() {
    for (pthread_t& t : threads)
      if (pthread_create(&t, nullptr, Run, this) != 0) return false;
    for (int i = 0; i < kThreads; ++i)
      while (sem_wait(&begun) != 0) continue;
    return true;
  }

  // All read at once, beside this thread, which is the only one that can end that.
  bool ReadAndEnd() {
    for (int i = 0; i < kThreads; ++i) sem_post(&may_read);
    for (int i = 0; i < kThreads; ++i)
      while (sem_wait(&about_to) != 0) continue;
    for (auto& pair : ends)
      if (write(pair[1], "x", 1) != 1) return false;
    bool all = true;
    for (pthread_t t : threads) {
      void* result = nullptr;
      all = pthread_join(t, &result) == 0 && result == this && all;
    }
    return all;
  }
};

template <class Program>
int StatusOf(Program program) {
  pid_t child = fork();
  if (child == 0) _exit(program() ? 0 : 1);
  int status = -1;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) continue;
  return status;
}

bool Confine(const Calls& calls, uint32_t other) {
  return test::Install(test::AllowOnly(calls, other), test::How::kEveryThread);
}

class ConfinedThreads : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(ByAFilterThat, ConfinedThreads, testing::Values(kRefuse, kKill),
                         [](const testing::TestParamInfo<uint32_t>& other) {
                           return other.param == kKill ? "Kills" : "Refuses";
                         });

TEST_P(ConfinedThreads, ThatThereAreBlockEachForItself) {
  EXPECT_EQ(StatusOf([] {
              Readers readers;
              return readers.Begin() && readers.Create() && Confine(kOfThoseThatThereAre, GetParam()) &&
                     readers.ReadAndEnd();
            }),
            0);
}

TEST_P(ConfinedThreads, RunOnTheStacksOfThoseThatHaveEnded) {
  EXPECT_EQ(StatusOf([] {
              Readers readers;
              if (!readers.Begin() || !readers.Create() || !readers.ReadAndEnd()) return false;
              if (!Confine(Both(kOfThoseThatThereAre, kOfNewOnes), GetParam())) return false;
              for (int i = 0; i < 20; ++i)
                if (!readers.Create() || !readers.ReadAndEnd()) return false;
              return true;
            }),
            0);
}

// As libc, whose cache of stacks is one for all sizes.
TEST_P(ConfinedThreads, RunOnSmallerPartsOfSuchStacks) {
  EXPECT_EQ(StatusOf([] {
              Readers readers;
              if (!readers.Begin() || !readers.Create() || !readers.ReadAndEnd()) return false;
              if (!Confine(Both(kOfThoseThatThereAre, kOfNewOnes), GetParam())) return false;
              pthread_attr_t attr;
              pthread_attr_init(&attr);
              pthread_attr_setstacksize(&attr, size_t{3} << 20);
              pthread_t t;
              void* result = nullptr;
              int passed = 0;
              auto same = [](void* arg) { return arg; };
              return pthread_create(&t, &attr, same, &passed) == 0 && pthread_join(t, &result) == 0 &&
                     result == &passed;
            }),
            0);
}

TEST_P(ConfinedThreads, RunInAForkedChildOnThoseOfTheParent) {
  EXPECT_EQ(StatusOf([] {
              Readers readers;
              if (!readers.Begin() || !readers.Create() || !readers.ReadAndEnd()) return false;
              if (!Confine(Both(Both(kOfThoseThatThereAre, kOfNewOnes), {SYS_wait4}), GetParam())) return false;
              return StatusOf([&] { return readers.Create() && readers.ReadAndEnd(); }) == 0;
            }),
            0);
}

TEST_P(ConfinedThreads, RunInAForkedChildOnThoseOfThreadsThatItHasNot) {
  EXPECT_EQ(StatusOf([] {
              Readers readers;
              if (!readers.Begin() || !readers.Create()) return false;
              if (!Confine(Both(Both(kOfThoseThatThereAre, kOfNewOnes), {SYS_wait4}), GetParam())) return false;
              Readers others = readers;
              const int status = StatusOf([&] {
                sem_init(&others.begun, 0, 0);
                return others.Create() && others.ReadAndEnd();
              });
              return readers.ReadAndEnd() && status == 0;
            }),
            0);
}

}  // namespace
