// SPDX-License-Identifier: Apache-2.0
// Tests that pthread_exit unwinds: C++ destructors, cleanup handlers, catch (...), and in order.
#include <cxxabi.h>
#include <sched.h>
#include <setjmp.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Thread;

void* Tag(uintptr_t value) {
  return reinterpret_cast<void*>(value);
}

struct Log {
  std::string text;
};

struct Adds {
  Log& log;
  const char* what;
  ~Adds() {
    sched_yield();
    log.text += what;
  }
};

void Add(void* argument) {
  auto* adds = static_cast<std::pair<Log*, const char*>*>(argument);
  adds->first->text += adds->second;
}

TEST(Unwind, ExitRunsDestructors) {
  Log log;
  Thread thread([&]() -> void* {
    Adds a{log, "a"};
    [&] {
      Adds b{log, "b"};
      [&] {
        Adds c{log, "c"};
        pthread_exit(Tag(1));
      }();
      log.text += "never";
    }();
    log.text += "never";
    return nullptr;
  });
  EXPECT_EQ(thread.Join(), Tag(1));
  EXPECT_EQ(log.text, "cba");
}

TEST(Unwind, ExitRunsCleanupHandlersAndDestructorsInnermostFirst) {
  Log log;
  std::pair<Log*, const char*> one{&log, "1"};
  std::pair<Log*, const char*> two{&log, "2"};
  Thread thread([&]() -> void* {
    Adds a{log, "a"};
    pthread_cleanup_push(&Add, &one);
    Adds b{log, "b"};
    pthread_cleanup_push(&Add, &two);
    Adds c{log, "c"};
    pthread_exit(Tag(2));
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
  });
  EXPECT_EQ(thread.Join(), Tag(2));
  EXPECT_EQ(log.text, "c2b1a");
}

TEST(Unwind, PopWithAndWithoutExecution) {
  Log log;
  std::pair<Log*, const char*> one{&log, "1"};
  std::pair<Log*, const char*> two{&log, "2"};
  test::HereAndInAThread([&] {
    log.text.clear();
    pthread_cleanup_push(&Add, &one);
    pthread_cleanup_push(&Add, &two);
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(0);
    EXPECT_EQ(log.text, "2");
  });
}

TEST(Unwind, CatchAllSeesItAndPassesItOn) {
  Log log;
  Thread thread([&]() -> void* {
    try {
      Adds a{log, "a"};
      pthread_exit(Tag(3));
    } catch (abi::__forced_unwind&) {
      log.text += "f";
      throw;
    }
    return nullptr;
  });
  EXPECT_EQ(thread.Join(), Tag(3));
  EXPECT_EQ(log.text, "af");
  log.text.clear();
  Thread second([&]() -> void* {
    try {
      pthread_exit(Tag(4));
    } catch (const std::exception&) {
      log.text += "e";
    } catch (...) {
      log.text += "all";
      throw;
    }
    return nullptr;
  });
  EXPECT_EQ(second.Join(), Tag(4));
  EXPECT_EQ(log.text, "all");
}

TEST(Unwind, ExitWhileAnExceptionIsHandled) {
  Log log;
  Thread thread([&]() -> void* {
    try {
      throw std::runtime_error("x");
    } catch (const std::runtime_error&) {
      Adds a{log, "a"};
      pthread_exit(Tag(5));
    }
    return nullptr;
  });
  EXPECT_EQ(thread.Join(), Tag(5));
  EXPECT_EQ(log.text, "a");
}

TEST(Unwind, ExitFromADestructorOfTls) {
  // pthread_exit in a key's destructor ends the thread just so.
  static pthread_key_t key;
  static std::atomic<int> runs;
  runs = 0;
  ASSERT_EQ(pthread_key_create(&key, [](void*) { ++runs; }), 0);
  for (int i = 0; i < 5; ++i) {
    Thread thread([]() -> void* {
      pthread_setspecific(key, Tag(1));
      pthread_exit(Tag(6));
    });
    EXPECT_EQ(thread.Join(), Tag(6));
  }
  EXPECT_EQ(runs, 5);
  EXPECT_EQ(pthread_key_delete(key), 0);
}

TEST(Unwind, DestructorsMayUseEverything) {
  // What runs during the unwinding may block, throw and catch, and make threads.
  struct Busy {
    std::atomic<int>& count;
    ~Busy() {
      Thread([this] {
        ++count;
        return nullptr;
      });
      try {
        usleep(10);
        throw 1;
      } catch (int) {
        ++count;
      }
    }
  };
  std::atomic<int> count = 0;
  std::vector<Thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&]() -> void* {
      Busy one{count};
      Busy two{count};
      pthread_exit(nullptr);
    });
  }
  threads.clear();
  EXPECT_EQ(count, 40);
}

TEST(Unwind, ExceptionsThroughManyFramesOfManyThreads) {
  std::function<void(int)> dive = [&dive](int depth) {
    if (depth == 0) throw std::out_of_range("bottom");
    dive(depth - 1);
  };
  std::atomic<int> caught = 0;
  std::vector<Thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        try {
          dive(30);
        } catch (const std::out_of_range& error) {
          if (std::string(error.what()) == "bottom") ++caught;
        }
        sched_yield();
      }
      return nullptr;
    });
  }
  threads.clear();
  EXPECT_EQ(caught, 160);
}

TEST(Unwind, LongjmpWithinAThread) {
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([t] {
      volatile int rounds = 0;
      jmp_buf buffer;
      const int value = setjmp(buffer);
      EXPECT_EQ(value, rounds == 0 ? 0 : t + 1);
      if (rounds < 50) {
        rounds = rounds + 1;
        sched_yield();
        [&] { longjmp(buffer, t + 1); }();
      }
      EXPECT_EQ(rounds, 50);
      return nullptr;
    });
  }
}

TEST(Unwind, SiglongjmpRestoresTheMask) {
  test::HereAndInAThread([] {
    sigset_t set;
    sigset_t now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigjmp_buf buffer;
    volatile int jumps = 0;
    if (sigsetjmp(buffer, 1) == 0) {
      EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
      usleep(10);
      jumps = jumps + 1;
      siglongjmp(buffer, 1);
    }
    EXPECT_EQ(jumps, 1);
    EXPECT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &now), 0);
    EXPECT_EQ(sigismember(&now, SIGUSR2), 0);
  });
}

TEST(Unwind, UncaughtExceptionTerminates) {
  Thread([] { return nullptr; });
  const int status = test::RunChild([] {
    std::set_terminate([] { _exit(55); });
    Thread([]() -> void* { throw 1; });
    return 1;
  });
  EXPECT_TRUE(test::Exited(status, 55));
}

}  // namespace
