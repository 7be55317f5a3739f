// SPDX-License-Identifier: Apache-2.0
// Tests thread names: of oneself and of others, their limits, inheritance, and prctl.
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

std::string NameOf(pthread_t thread) {
  char name[16] = "?";
  EXPECT_EQ(pthread_getname_np(thread, name, sizeof name), 0);
  return name;
}

TEST(Name, OfOneself) {
  Thread([] {
    EXPECT_EQ(pthread_setname_np(pthread_self(), "worker"), 0);
    EXPECT_EQ(NameOf(pthread_self()), "worker");
    EXPECT_EQ(pthread_setname_np(pthread_self(), ""), 0);
    EXPECT_EQ(NameOf(pthread_self()), "");
    return nullptr;
  });
}

TEST(Name, OfMain) {
  const std::string before = NameOf(pthread_self());
  EXPECT_EQ(before, std::string(program_invocation_short_name).substr(0, 15));
  EXPECT_EQ(pthread_setname_np(pthread_self(), "renamed"), 0);
  EXPECT_EQ(NameOf(pthread_self()), "renamed");
  Thread([] {
    EXPECT_EQ(NameOf(pthread_self()), "renamed");  // Inherited.
    EXPECT_EQ(pthread_setname_np(pthread_self(), "child"), 0);
    return nullptr;
  });
  EXPECT_EQ(NameOf(pthread_self()), "renamed");
  EXPECT_EQ(pthread_setname_np(pthread_self(), before.c_str()), 0);
}

TEST(Name, Limits) {
  Thread([] {
    EXPECT_EQ(pthread_setname_np(pthread_self(), "fifteen letters"), 0);
    EXPECT_EQ(NameOf(pthread_self()), "fifteen letters");
    EXPECT_EQ(pthread_setname_np(pthread_self(), "sixteen letters!"), ERANGE);
    EXPECT_EQ(NameOf(pthread_self()), "fifteen letters");
    char name[16];
    EXPECT_EQ(pthread_getname_np(pthread_self(), name, 15), ERANGE);
    EXPECT_EQ(pthread_getname_np(pthread_self(), name, 0), ERANGE);
    EXPECT_EQ(pthread_getname_np(pthread_self(), name, 16), 0);
    return nullptr;
  });
}

TEST(Name, OfOthers) {
  Gate gate;
  std::vector<Thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&gate, i] {
      gate.Wait();
      EXPECT_EQ(NameOf(pthread_self()), "other" + std::to_string(i));
      return nullptr;
    });
  }
  for (int i = 0; i < 10; ++i) {
    const std::string name = "other" + std::to_string(i);
    EXPECT_EQ(pthread_setname_np(threads[i].id(), name.c_str()), 0);
    EXPECT_EQ(NameOf(threads[i].id()), name);
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(NameOf(threads[i].id()), "other" + std::to_string(i));
  }
  gate.Open();
}

TEST(Name, StaysWithItsThread) {
  std::vector<Thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      const std::string name = "stays" + std::to_string(i);
      EXPECT_EQ(pthread_setname_np(pthread_self(), name.c_str()), 0);
      for (int k = 0; k < 50; ++k) {
        usleep(10);
        EXPECT_EQ(NameOf(pthread_self()), name);
      }
      return nullptr;
    });
  }
}

TEST(Name, NewThreadsAreNotCalledAfterDeadOnes) {
  const std::string mine = NameOf(pthread_self());
  for (int i = 0; i < 20; ++i) {
    Thread([&mine] {
      EXPECT_EQ(NameOf(pthread_self()), mine);
      EXPECT_EQ(pthread_setname_np(pthread_self(), "dead"), 0);
      return nullptr;
    });
  }
}

TEST(Name, SetByPrctl) {
  Thread([] {
    char name[16] = "";
    EXPECT_EQ(prctl(PR_SET_NAME, "by prctl"), 0);
    EXPECT_EQ(prctl(PR_GET_NAME, name), 0);
    EXPECT_STREQ(name, "by prctl");
    return nullptr;
  });
}

TEST(Name, IsTheSameByPrctl) {
  test::HereAndInAThread([] {
    const std::string before = NameOf(pthread_self());
    char name[16] = "";
    EXPECT_EQ(pthread_setname_np(pthread_self(), "by pthread"), 0);
    EXPECT_EQ(prctl(PR_GET_NAME, name), 0);
    EXPECT_STREQ(name, "by pthread");
    EXPECT_EQ(prctl(PR_SET_NAME, "sixteen letters!"), 0);  // is cut
    EXPECT_EQ(NameOf(pthread_self()), "sixteen letters");
    Thread([] {
      char inherited[16] = "";
      EXPECT_EQ(prctl(PR_GET_NAME, inherited), 0);
      EXPECT_STREQ(inherited, "sixteen letters");
      EXPECT_EQ(prctl(PR_SET_NAME, "another"), 0);
      return nullptr;
    });
    EXPECT_EQ(NameOf(pthread_self()), "sixteen letters");
    EXPECT_EQ(pthread_setname_np(pthread_self(), before.c_str()), 0);
  });
}

TEST(Name, PrctlReadsNoFurtherThanTheEnd) {
  const long page = sysconf(_SC_PAGESIZE);
  char* memory =
      static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(mprotect(memory + page, page, PROT_NONE), 0);
  Thread([&] {
    memcpy(memory + page - 5, "last", 5);
    EXPECT_EQ(prctl(PR_SET_NAME, memory + page - 5), 0);
    EXPECT_EQ(NameOf(pthread_self()), "last");
    memcpy(memory + page - 5, "beyon", 5);
    EXPECT_EQ(prctl(PR_SET_NAME, memory + page - 5), -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_EQ(prctl(PR_GET_NAME, memory + page), -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_EQ(NameOf(pthread_self()), "last");
    return nullptr;
  });
  munmap(memory, 2 * page);
}

}  // namespace
