// SPDX-License-Identifier: Apache-2.0
// Tests that setuid and its family change the credentials of all threads, whatever they do meanwhile, as POSIX wants it
// and the kernel, which has them per kernel thread, does not. Needs root; who is not sees the calls refused.
#include <fcntl.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <array>
#include <ostream>

#include "rivals.h"

namespace {

using test::Thread;

constexpr uid_t kOther = 12'345;

// The kernel's word on the calling kernel thread.
long Raw(long number, long a = 0, long b = 0, long c = 0) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

using Three = std::array<uid_t, 3>;

Three Ids(long number) {
  Three ids;
  EXPECT_EQ(
      Raw(number, reinterpret_cast<long>(&ids[0]), reinterpret_cast<long>(&ids[1]), reinterpret_cast<long>(&ids[2])),
      0);
  return ids;
}

struct Credentials {
  Three users = Ids(SYS_getresuid);
  Three groups = Ids(SYS_getresgid);
  long supplementary = Raw(SYS_getgroups, 0, 0);
  bool operator==(const Credentials&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Credentials& c) {
  for (uid_t id : c.users) out << id << ' ';
  for (gid_t id : c.groups) out << id << ' ';
  return out << c.supplementary;
}

bool Root() {
  if (geteuid() == 0) return true;
  printf("not root: nothing tested but that the calls are refused\n");
  EXPECT_EQ(setuid(kOther), -1);
  EXPECT_EQ(seteuid(kOther), -1);
  EXPECT_EQ(setgroups(0, nullptr), -1);
  return false;
}

// Threads that compute, wait for a condition, sleep, wait in the kernel past libc; each says whether it has the
// credentials that it is asked about.
class Crowd {
 public:
  Crowd() {
    EXPECT_EQ(pipe(pipe_), 0);
    for (int i = 0; i < test::kRivals; ++i) Add([this] { Compute(); });
    for (int i = 0; i < 10; ++i) Add([this] { Wait(); });
    for (int i = 0; i < 5; ++i) Add([this] { Sleep(); });
    for (int i = 0; i < kReaders; ++i) Add([this] { Read(); });
    test::SleepMs(20);
  }
  ~Crowd() {
    over_ = true;
    Ask();
    threads_.clear();
    close(pipe_[0]);
    close(pipe_[1]);
  }

  // All have what the caller has.
  void Check() {
    const Credentials expected;
    pthread_mutex_lock(&mutex_);
    expected_ = expected;
    pthread_mutex_unlock(&mutex_);
    agreed_ = 0;
    Ask();
    EXPECT_TRUE(test::Eventually([this] { return agreed_ == static_cast<int>(threads_.size()); })) << agreed_;
  }

 private:
  static constexpr int kReaders = 5;

  void Add(const std::function<void()>& body) {
    threads_.emplace_back([body] {
      body();
      return nullptr;
    });
  }
  void Ask() {
    pthread_mutex_lock(&mutex_);
    ++question_;
    pthread_cond_broadcast(&cond_);
    pthread_mutex_unlock(&mutex_);
    for (int i = 0; i < kReaders; ++i) EXPECT_EQ(write(pipe_[1], "x", 1), 1);
  }
  void Answer() {
    const Credentials mine;
    pthread_mutex_lock(&mutex_);
    const Credentials expected = expected_;
    pthread_mutex_unlock(&mutex_);
    if (over_) return;
    EXPECT_EQ(mine, expected);
    ++agreed_;
  }
  void Compute() {
    for (int seen = 0; !over_;) {
      test::ComputeABit();
      if (question_ == seen) continue;
      seen = question_;
      Answer();
    }
  }
  void Sleep() {
    for (int seen = 0; !over_;) {
      test::SleepMs(3);
      if (question_ == seen) continue;
      seen = question_;
      Answer();
    }
  }
  void Wait() {
    for (int seen = 0; !over_;) {
      pthread_mutex_lock(&mutex_);
      while (question_ == seen) pthread_cond_wait(&cond_, &mutex_);
      seen = question_;
      pthread_mutex_unlock(&mutex_);
      Answer();
    }
  }
  void Read() {
    for (int seen = 0; !over_;) {
      char byte;
      ASSERT_EQ(Raw(SYS_read, pipe_[0], reinterpret_cast<long>(&byte), 1), 1);
      // One of them may be fast and read twice.
      if (question_ == seen) {
        EXPECT_EQ(write(pipe_[1], "x", 1), 1);
        test::SleepMs(1);
        continue;
      }
      seen = question_;
      Answer();
    }
  }

  int pipe_[2];
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond_ = PTHREAD_COND_INITIALIZER;
  std::atomic<int> question_ = 0;
  std::atomic<bool> over_ = false;
  std::atomic<int> agreed_ = 0;
  Credentials expected_;
  std::vector<Thread> threads_;
};

TEST(Credentials, EffectiveUser) {
  if (!Root()) return;
  Crowd crowd;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(seteuid(kOther), 0);
    EXPECT_EQ(geteuid(), kOther);
    crowd.Check();
    ASSERT_EQ(seteuid(0), 0);
    crowd.Check();
  }
}

TEST(Credentials, ChangedByAThread) {
  if (!Root()) return;
  Crowd crowd;
  Thread([&] {
    EXPECT_EQ(seteuid(kOther), 0);
    EXPECT_EQ(Raw(SYS_geteuid), kOther);
    return nullptr;
  });
  EXPECT_EQ(Raw(SYS_geteuid), kOther);
  crowd.Check();
  Thread([&] {
    EXPECT_EQ(seteuid(0), 0);
    crowd.Check();
    return nullptr;
  });
}

TEST(Credentials, AllOfThem) {
  if (!Root()) return;
  Crowd crowd;
  const gid_t groups[] = {1, 2, 3, 4, 5};
  EXPECT_EQ(setgroups(5, groups), 0);
  crowd.Check();
  EXPECT_EQ(Raw(SYS_getgroups, 0, 0), 5);
  EXPECT_EQ(setegid(kOther), 0);
  crowd.Check();
  EXPECT_EQ(setresgid(0, 0, kOther), 0);
  crowd.Check();
  EXPECT_EQ(setregid(kOther, 0), 0);
  crowd.Check();
  EXPECT_EQ(setgid(0), 0);
  crowd.Check();
  EXPECT_EQ(setresuid(kOther, 0, 0), 0);
  crowd.Check();
  EXPECT_EQ(setreuid(0, kOther), 0);
  crowd.Check();
  EXPECT_EQ(setresuid(kOther, 0, 7), -1);
  EXPECT_EQ(errno, EPERM);
  crowd.Check();
  EXPECT_EQ(seteuid(0), 0);
  EXPECT_EQ(setuid(kOther), 0);
  crowd.Check();
  EXPECT_EQ(seteuid(0), -1);
  EXPECT_EQ(errno, EPERM);
  crowd.Check();
}

// What they are for: no thread may open what is root's.
TEST(Credentials, AreObeyed) {
  if (!Root()) return;
  char name[] = "/tmp/credentials_test.XXXXXX";
  const int file = mkstemp(name);
  ASSERT_NE(file, -1);
  close(file);
  std::atomic<bool> dropped = false, over = false;
  std::atomic<int> refused = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < test::kRivals; ++i) {
    threads.emplace_back([&] {
      for (bool counted = false; !over;) {
        const bool before = dropped;
        const int mine = open(name, O_RDONLY);
        if (before) {
          EXPECT_EQ(mine, -1);
          refused += counted ? 0 : 1;
          counted = true;
        }
        if (mine != -1) close(mine);
        if (i % 2 == 0) test::ComputeABit();
      }
      return nullptr;
    });
  }
  test::SleepMs(20);
  ASSERT_EQ(seteuid(kOther), 0);
  dropped = true;
  EXPECT_TRUE(test::Eventually([&] { return refused == test::kRivals; }));
  over = true;
  threads.clear();
  ASSERT_EQ(seteuid(0), 0);
  unlink(name);
}

// Beside threads that begin and end, and that block, for which there may have to be more kernel threads.
TEST(Credentials, BesideThreadsThatComeAndGo) {
  if (!Root()) return;
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  std::atomic<bool> over = false;
  std::vector<Thread> parents;
  for (int i = 0; i < 3; ++i) {
    parents.emplace_back([&] {
      while (!over) {
        Thread blocks([&] {
          char byte;
          EXPECT_EQ(Raw(SYS_read, pipes[0], reinterpret_cast<long>(&byte), 1), 1);
          return nullptr;
        });
        Thread([] { return nullptr; });
        EXPECT_EQ(write(pipes[1], "x", 1), 1);
      }
      return nullptr;
    });
  }
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(seteuid(kOther), 0);
    Thread([] {
      EXPECT_EQ(Raw(SYS_geteuid), kOther);
      return nullptr;
    });
    ASSERT_EQ(seteuid(0), 0);
    Thread([] {
      EXPECT_EQ(Raw(SYS_geteuid), 0);
      return nullptr;
    });
  }
  over = true;
  parents.clear();
  close(pipes[0]);
  close(pipes[1]);
}

// Several change them at once: one of them is the last.
TEST(Credentials, ChangedByManyAtOnce) {
  if (!Root()) return;
  Crowd crowd;
  std::vector<Thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      for (int k = 0; k < 10; ++k) EXPECT_EQ(setresuid(0, i % 2 == 0 ? kOther : 0, 0), 0);
      return nullptr;
    });
  }
  threads.clear();
  crowd.Check();
  ASSERT_EQ(seteuid(0), 0);
}

// Linux has them for a thread alone, whatever it waits for meanwhile.
TEST(Credentials, OfOneThread) {
  if (!Root()) return;
  Crowd crowd;
  const Credentials all;
  test::Gate gate;
  std::atomic<int> changed = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const uid_t mine = kOther + static_cast<uid_t>(i);
      if (i % 2 == 0) {
        EXPECT_EQ(setfsuid(mine), 0);
      } else {
        EXPECT_EQ(syscall(SYS_setresuid, -1, mine, -1), 0);
      }
      ++changed;
      gate.Wait();
      test::SleepMs(1);
      sched_yield();
      test::ComputeABit();
      EXPECT_EQ(setfsuid(static_cast<uid_t>(-1)), static_cast<int>(mine));
      EXPECT_EQ(Raw(SYS_geteuid), i % 2 == 0 ? 0 : static_cast<long>(mine));
      return nullptr;
    });
  }
  EXPECT_TRUE(test::Eventually([&] { return changed == 6; }));
  crowd.Check();
  gate.Open();
  threads.clear();
  crowd.Check();
  EXPECT_EQ(Credentials(), all);
  Thread([&] {
    EXPECT_EQ(Credentials(), all);
    return nullptr;
  });
}

TEST(Credentials, InitialGroups) {
  if (!Root()) return;
  Crowd crowd;
  EXPECT_EQ(initgroups("root", 0), 0);
  crowd.Check();
  EXPECT_EQ(Raw(SYS_getgroups, 0, 0), 1);
  EXPECT_EQ(initgroups("nobody", kOther), 0);
  crowd.Check();
  EXPECT_EQ(Raw(SYS_getgroups, 0, 0), 1);
  gid_t group = 0;
  EXPECT_EQ(getgroups(1, &group), 1);
  EXPECT_EQ(group, kOther);
}

TEST(Credentials, OfAForkedChild) {
  if (!Root()) return;
  Crowd crowd;
  EXPECT_TRUE(test::Exited(test::RunChild([] {
                             std::atomic<bool> go = false;
                             std::atomic<int> right = 0;
                             std::vector<Thread> threads;
                             for (int i = 0; i < 12; ++i) {
                               threads.emplace_back([&] {
                                 while (!go) {
                                 }
                                 right += Raw(SYS_geteuid) == kOther ? 1 : 0;
                                 return nullptr;
                               });
                             }
                             if (setuid(kOther) != 0) return 1;
                             go = true;
                             threads.clear();
                             return right == 12 && setuid(0) == -1 ? 7 : 2;
                           }),
                           7));
  crowd.Check();
}

}  // namespace
