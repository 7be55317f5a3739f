// SPDX-License-Identifier: Apache-2.0
// Tests that threads which are stopped in favour of others, at any moment, do no harm to what libc and the C++ library
// keep for all of them: memory, streams, locks of libc's own, exceptions being thrown, processes being made.
#include <dlfcn.h>
#include <locale.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <stdexcept>
#include <string>

#include "rivals.h"
#include "signals.h"

namespace {

TEST(PreemptLibc, Memory) {
  test::Contend([](int i) {
    constexpr int kBlocks = 50;
    char* blocks[kBlocks];
    for (int k = 0; k < kBlocks; ++k) {
      const size_t size = static_cast<size_t>(k * k * (i % 4 == 0 ? 97 : 3) + 1);
      blocks[k] = static_cast<char*>(malloc(size));
      memset(blocks[k], i, size);
    }
    for (int k = 0; k < kBlocks; ++k) {
      EXPECT_EQ(blocks[k][0], i);
      blocks[k] = static_cast<char*>(realloc(blocks[k], static_cast<size_t>(k + 1)));
      EXPECT_EQ(blocks[k][k > 3 ? 3 : 0], i);
    }
    for (char* block : blocks) free(block);
  });
}

TEST(PreemptLibc, MemoryFreedByOthers) {
  static std::atomic<std::string*> shelf[64];
  test::Contend([](int i) {
    for (int k = 0; k < 200; ++k) {
      auto* text = new std::string(static_cast<size_t>(k), static_cast<char>('a' + i));
      std::string* old = shelf[(k * 7 + i) % 64].exchange(text);
      if (old == nullptr) continue;
      EXPECT_EQ(old->find_first_not_of((*old)[0]), std::string::npos);
      delete old;
    }
  });
  for (auto& place : shelf) delete place.exchange(nullptr);
}

TEST(PreemptLibc, OneStream) {
  FILE* file = tmpfile();
  ASSERT_NE(file, nullptr);
  std::atomic<int> lines = 0;
  test::Contend([&](int i) {
    for (int k = 0; k < 20; ++k) fprintf(file, "%d %.*s\n", i, i + 1, "abcdefghijklmnopqrstuvwxyz");
    lines += 20;
  });
  rewind(file);
  char line[100];
  int seen = 0;
  for (; fgets(line, sizeof line, file) != nullptr; ++seen) {
    const int i = atoi(line);
    const std::string expected =
        std::to_string(i) + " " + std::string("abcdefghijklmnopqrstuvwxyz", static_cast<size_t>(i) + 1) + "\n";
    ASSERT_EQ(line, expected);
  }
  EXPECT_EQ(seen, lines);
  fclose(file);
}

TEST(PreemptLibc, TextAndTime) {
  test::Contend([](int i) {
    for (int k = 0; k < 50; ++k) {
      char text[64];
      snprintf(text, sizeof text, "%.6f %d", i + 0.5, k);
      char* end;
      EXPECT_EQ(strtod(text, &end), i + 0.5);
      EXPECT_EQ(atoi(end), k);
      const time_t day = 86'400 * (1000 + i);
      tm parts;
      ASSERT_NE(localtime_r(&day, &parts), nullptr);
      EXPECT_EQ(mktime(&parts), day);
      EXPECT_TRUE(isalpha('a' + i));
    }
  });
}

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Counted {
  explicit Counted(int* count) : count_(count) { ++*count_; }
  ~Counted() { --*count_; }
  int* count_;
};

__attribute__((noinline)) void ThrowFrom(int depth, int i, int* alive) {
  Counted counted(alive);
  if (depth == 0) throw Error(std::to_string(i));
  ThrowFrom(depth - 1, i, alive);
}

TEST(PreemptLibc, Exceptions) {
  test::Contend([](int i) {
    int alive = 0;
    for (int k = 0; k < 20; ++k) {
      try {
        ThrowFrom(k, i, &alive);
        ADD_FAILURE();
      } catch (const Error& error) {
        EXPECT_EQ(error.what(), std::to_string(i));
        test::ComputeABit();
      }
      EXPECT_EQ(alive, 0);
    }
  });
}

TEST(PreemptLibc, SymbolsAndServices) {
  test::Contend([](int) {
    EXPECT_NE(dlsym(RTLD_DEFAULT, "strlen"), nullptr);
    Dl_info info;
    EXPECT_NE(dladdr(reinterpret_cast<void*>(&test::NowNs), &info), 0);
    EXPECT_NE(getenv("PATH"), nullptr);
    EXPECT_EQ(strcmp(strerror(ENOENT), "No such file or directory"), 0);
  });
}

// The child finds libc's locks free, whatever those who compute were doing.
TEST(PreemptLibc, ForkBesideThoseWhoCompute) {
  std::atomic<bool> over = false;
  std::vector<test::Thread> threads;
  for (int i = 0; i < test::kRivals; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        for (int k = 0; k < 20; ++k) free(malloc(static_cast<size_t>(1000 * k + 1)));
        test::ComputeABit();
      }
      return nullptr;
    });
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(test::Exited(test::RunChild([] {
                               for (int k = 0; k < 100; ++k) free(malloc(static_cast<size_t>(1000 * k + 1)));
                               return 7;
                             }),
                             7));
  }
  over = true;
}

// And so do threads of the child that compute themselves.
TEST(PreemptLibc, ForkByThoseWhoCompute) {
  std::atomic<int> forks = 0;
  test::Contend([&](int i) {
    test::ComputeABit();
    if (i % 4 != 0 || forks >= 8) return;
    ++forks;
    EXPECT_TRUE(test::Exited(test::RunChild([] {
                               std::atomic<bool> go = false;
                               test::Thread spinner([&] {
                                 while (!go) {
                                 }
                                 return nullptr;
                               });
                               test::Thread([&] {
                                 go = true;
                                 return nullptr;
                               });
                               spinner.Join();
                               return 7;
                             }),
                             7));
  });
  EXPECT_GT(forks, 0);
}

// Who forks waits for malloc's locks, and who holds one may have been interrupted by a handler that waits.
TEST(PreemptLibc, ForkWhileHandlersWaitInMalloc) {
  const test::Handler handler(SIGUSR1, [](int) { usleep(300); });
  std::atomic<bool> over = false;
  std::vector<test::Thread> allocate, signal;
  for (int i = 0; i < 3; ++i)
    allocate.emplace_back([&] {
      while (!over) {
        void* blocks[50];
        for (size_t k = 0; k < 50; ++k) blocks[k] = malloc(2000 + 100 * k);
        for (void* block : blocks) free(block);
      }
      return nullptr;
    });
  for (size_t i = 0; i < 3; ++i)
    signal.emplace_back([&, i] {
      while (!over) {
        EXPECT_EQ(pthread_kill(allocate[i].id(), SIGUSR1), 0);
        usleep(500);
      }
      return nullptr;
    });
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(test::Exited(test::RunChild([] { return 5; }), 5));
    usleep(100);
  }
  over = true;
  signal.clear();
}

}  // namespace
