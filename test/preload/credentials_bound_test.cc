// SPDX-License-Identifier: Apache-2.0
// Tests that setuid and its family reach every kernel thread of the process where threads, and main, asked for kernel
// state of their own, such as a CPU. Needs root.
#include <dirent.h>
#include <sched.h>
#include <sys/syscall.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Thread;

constexpr uid_t kOther = 12'345;

// How many kernel threads have which effective user, as the kernel says.
std::map<uid_t, int> UsersOfAll() {
  std::map<uid_t, int> users;
  DIR* tasks = opendir("/proc/self/task");
  EXPECT_NE(tasks, nullptr);
  while (const dirent* task = readdir(tasks)) {
    std::ifstream status("/proc/self/task/" + std::string(task->d_name) + "/status");
    for (std::string word; status >> word;) {
      if (word != "Uid:") continue;
      uid_t real = 0;
      uid_t effective = 0;
      status >> real >> effective;
      ++users[effective];
    }
  }
  closedir(tasks);
  return users;
}

void ChangeThereAndBack() {
  for (int i = 0; i < 3; ++i) {
    for (const uid_t user : {kOther, uid_t{0}}) {
      ASSERT_EQ(seteuid(user), 0);
      const auto users = UsersOfAll();
      EXPECT_EQ(users.size(), 1U);
      EXPECT_EQ(users.begin()->first, user);
    }
  }
}

void BindToOneCpu() {
  cpu_set_t cpus;
  ASSERT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  int first = 0;
  while (!CPU_ISSET(first, &cpus)) ++first;
  CPU_ZERO(&cpus);
  CPU_SET(first, &cpus);
  ASSERT_EQ(pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
}

class CredentialsBound : public testing::Test {
 protected:
  void Begin() {
    for (int i = 0; i < 4; ++i) {
      threads_.emplace_back([this, i] {
        if (i == 0) BindToOneCpu();
        while (!over_) usleep(1000);
        return nullptr;
      });
    }
    test::LetThemWait();
  }
  void TearDown() override { over_ = true; }

  std::atomic<bool> over_ = false;
  std::vector<Thread> threads_;
};

TEST_F(CredentialsBound, MainAndItChanges) {
  if (geteuid() != 0) return;
  Begin();
  BindToOneCpu();
  ChangeThereAndBack();
}

TEST_F(CredentialsBound, MainAndAnotherChanges) {
  if (geteuid() != 0) return;
  Begin();
  BindToOneCpu();
  Thread([] {
    ChangeThereAndBack();
    return nullptr;
  });
}

TEST_F(CredentialsBound, MainAndAThirdThatIsBoundChanges) {
  if (geteuid() != 0) return;
  Begin();
  BindToOneCpu();
  Thread([] {
    BindToOneCpu();
    ChangeThereAndBack();
    return nullptr;
  });
}

TEST_F(CredentialsBound, AThreadAndMainChanges) {
  if (geteuid() != 0) return;
  Begin();
  ChangeThereAndBack();
}

}  // namespace
