// SPDX-License-Identifier: Apache-2.0
// Tests semaphores that processes share, and named ones.
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>

#include <string>

#include "util.h"

namespace {

using test::In;
using test::Thread;

TEST(SemProcess, SharedBetweenProcesses) {
  struct Shared {
    sem_t ping;
    sem_t pong;
    int rounds;
  };
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* shared = static_cast<Shared*>(memory);
  ASSERT_EQ(sem_init(&shared->ping, 1, 0), 0);
  ASSERT_EQ(sem_init(&shared->pong, 1, 0), 0);
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    alarm(test::kChildSeconds);
    for (int i = 0; i < 300; ++i) {
      CHILD_CHECK(sem_wait(&shared->ping) == 0);
      ++shared->rounds;
      CHILD_CHECK(sem_post(&shared->pong) == 0);
    }
    _exit(17);
  }
  std::atomic<int> side = 0;
  Thread bystander([&] {
    // Gets on while the other thread waits for another process.
    for (; side < 100; ++side) usleep(10);
    return nullptr;
  });
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(shared->rounds, i);
    EXPECT_EQ(sem_post(&shared->ping), 0);
    EXPECT_EQ(sem_wait(&shared->pong), 0);
  }
  EXPECT_TRUE(test::Exited(test::WaitFor(child), 17));
  bystander.Join();
  EXPECT_EQ(side, 100);
  EXPECT_EQ(sem_destroy(&shared->ping), 0);
  EXPECT_EQ(sem_destroy(&shared->pong), 0);
  munmap(memory, sizeof(Shared));
}

TEST(SemProcess, Named) {
  const std::string name = "/sem_test." + std::to_string(getpid());
  sem_unlink(name.c_str());
  errno = 0;
  EXPECT_EQ(sem_open(name.c_str(), 0), SEM_FAILED);
  EXPECT_EQ(errno, ENOENT);
  sem_t* sem = sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 1);
  ASSERT_NE(sem, SEM_FAILED);
  errno = 0;
  EXPECT_EQ(sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 1), SEM_FAILED);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(sem_open(name.c_str(), 0), sem);
  EXPECT_EQ(sem_wait(sem), 0);
  errno = 0;
  EXPECT_EQ(sem_trywait(sem), -1);
  EXPECT_EQ(errno, EAGAIN);
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    alarm(test::kChildSeconds);
    sem_t* same = sem_open(name.c_str(), 0);
    CHILD_CHECK(same != SEM_FAILED);
    CHILD_CHECK(sem_post(same) == 0);
    _exit(0);
  }
  Thread waiter([sem] {
    EXPECT_EQ(sem_wait(sem), 0);
    return nullptr;
  });
  waiter.Join();
  EXPECT_TRUE(test::Exited(test::WaitFor(child), 0));
  const timespec deadline = In(CLOCK_REALTIME, 10);
  errno = 0;
  EXPECT_EQ(sem_timedwait(sem, &deadline), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_EQ(sem_close(sem), 0);
  EXPECT_EQ(sem_close(sem), 0);  // It was opened twice here.
  EXPECT_EQ(sem_unlink(name.c_str()), 0);
  errno = 0;
  EXPECT_EQ(sem_unlink(name.c_str()), -1);
  EXPECT_EQ(errno, ENOENT);
}

}  // namespace
