// SPDX-License-Identifier: Apache-2.0
// Tests libraries with TLS that are loaded at run time, from main and threads, for old and new ones.
#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <string.h>

#include <string>
#include <vector>

#include "util.h"

namespace {

using test::Gate;
using test::Thread;

// tls_plugin.so lies beside the program.
std::string PluginPath() {
  char path[PATH_MAX] = {};
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  EXPECT_GT(length, 0);
  std::string folder(path, length > 0 ? length : 0);
  return folder.substr(0, folder.rfind('/')) + "/tls_plugin.so";
}

struct Plugin {
  Plugin() : handle(dlopen(PluginPath().c_str(), RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle, nullptr) << dlerror();
    if (handle == nullptr) return;
    number = reinterpret_cast<int* (*)()>(dlsym(handle, "PluginNumber"));
    check = reinterpret_cast<int (*)(char)>(dlsym(handle, "PluginCheck"));
    fill = reinterpret_cast<void (*)(char)>(dlsym(handle, "PluginFill"));
    threads = reinterpret_cast<int (*)()>(dlsym(handle, "PluginThreads"));
    EXPECT_EQ(threads(), 1);
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  ~Plugin() {
    if (handle != nullptr) {
      EXPECT_EQ(dlclose(handle), 0);
    }
  }

  // What a thread finds that comes to the library for the first time, and what it leaves.
  void UseFresh(char byte) const {
    EXPECT_EQ(*number(), 1234);
    EXPECT_EQ(check(0), 0);
    *number() = byte;
    fill(byte);
  }
  void UseAgain(char byte) const {
    EXPECT_EQ(*number(), byte);
    EXPECT_EQ(check(byte), 0);
  }

  void* handle;
  int* (*number)() = nullptr;
  int (*check)(char) = nullptr;
  void (*fill)(char) = nullptr;
  int (*threads)() = nullptr;
};

TEST(Dlopen, FromMainUsedByOldAndNewThreads) {
  Gate loaded;
  Plugin* plugin = nullptr;
  std::vector<Thread> threads;
  auto use = [&](char byte) {
    plugin->UseFresh(byte);
    for (int i = 0; i < 20; ++i) {
      int* const place = plugin->number();
      if (i % 2 == 0) {
        usleep(10);
      } else {
        sched_yield();
      }
      EXPECT_EQ(place, plugin->number());
      plugin->UseAgain(byte);
    }
  };
  for (int t = 1; t <= 8; ++t) {
    threads.emplace_back([&, t] {
      loaded.Wait();
      use(static_cast<char>(t));
      return nullptr;
    });
  }
  Plugin here;
  plugin = &here;
  loaded.Open();
  for (int t = 9; t <= 16; ++t) {
    threads.emplace_back([&, t] {
      use(static_cast<char>(t));
      return nullptr;
    });
  }
  plugin->UseFresh(100);
  threads.clear();
  plugin->UseAgain(100);
}

TEST(Dlopen, FromAThread) {
  Thread([] {
    const Plugin plugin;
    plugin.UseFresh(1);
    Thread([&] {
      plugin.UseFresh(2);
      usleep(10);
      plugin.UseAgain(2);
      return nullptr;
    });
    plugin.UseAgain(1);
    return nullptr;
  });
}

TEST(Dlopen, AgainAndAgain) {
  // Each load is a new module whose variables start afresh, also in a thread that saw the last one.
  Gate gates[10];
  Gate used[10];
  Plugin* plugin = nullptr;
  Thread user([&] {
    for (int i = 0; i < 10; ++i) {
      gates[i].Wait();
      plugin->UseFresh(static_cast<char>(i + 1));
      usleep(10);
      plugin->UseAgain(static_cast<char>(i + 1));
      used[i].Open();
    }
    return nullptr;
  });
  for (int i = 0; i < 10; ++i) {
    Plugin here;
    plugin = &here;
    gates[i].Open();
    here.UseFresh(50);
    used[i].Wait();
    here.UseAgain(50);
  }
}

TEST(Dlopen, FromManyThreadsAtOnce) {
  std::vector<Thread> threads;
  for (int t = 1; t <= 6; ++t) {
    threads.emplace_back([]() -> void* {
      for (int i = 0; i < 10; ++i) {
        void* handle = dlopen(PluginPath().c_str(), RTLD_NOW);
        EXPECT_NE(handle, nullptr) << dlerror();
        if (handle == nullptr) return nullptr;
        auto* number = reinterpret_cast<int* (*)()>(dlsym(handle, "PluginNumber"));
        EXPECT_NE(number, nullptr);
        *number() = i;
        sched_yield();
        EXPECT_EQ(*number(), i);
        EXPECT_EQ(dlsym(handle, "NoSuchSymbol"), nullptr);
        EXPECT_EQ(dlclose(handle), 0);
      }
      return nullptr;
    });
  }
}

TEST(Dlopen, ErrorsAreTheThreadsOwn) {
  std::vector<Thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([t] {
      const std::string name = "no-such-library-" + std::to_string(t) + ".so";
      for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(dlopen(name.c_str(), RTLD_NOW), nullptr);
        sched_yield();
        const char* error = dlerror();
        EXPECT_NE(error, nullptr);
        if (error != nullptr) {
          EXPECT_NE(strstr(error, name.c_str()), nullptr) << error;
        }
        EXPECT_EQ(dlerror(), nullptr);
      }
      return nullptr;
    });
  }
}

TEST(Dlopen, OtherLibrariesFindTheSameFunctions) {
  // A program that looks up the API itself gets functions that work together with the linked ones.
  Thread([] { return nullptr; });
  auto* create = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_DEFAULT, "pthread_create"));
  auto* lock = reinterpret_cast<decltype(&pthread_mutex_lock)>(dlsym(RTLD_DEFAULT, "pthread_mutex_lock"));
  ASSERT_NE(create, nullptr);
  ASSERT_NE(lock, nullptr);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  EXPECT_EQ(lock(&mutex), 0);
  EXPECT_EQ(pthread_mutex_trylock(&mutex), EBUSY);
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
  pthread_t thread;
  ASSERT_EQ(create(
                &thread, nullptr, [](void* p) { return p; }, &mutex),
            0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, &mutex);
}

// Locks of ld.so that another thread holds stay locked in a child of which libc knows nothing.
TEST(Dlopen, ChildOfCloneWhileLibrariesAreLoaded) {
  constexpr size_t kSize = 256 * 1024;
  auto stack = std::make_unique<char[]>(kSize);
  std::atomic<bool> stop = false;
  Thread loader([&] {
    while (!stop) {
      Plugin plugin;
    }
    return nullptr;
  });
  for (int i = 0; i < 300 && !HasFailure(); ++i) {
    const pid_t child = clone(
        [](void*) {
          alarm(test::kChildSeconds);
          usleep(100);
          return 0;
        },
        stack.get() + kSize, SIGCHLD, nullptr);
    EXPECT_GT(child, 0);
    EXPECT_TRUE(test::Exited(test::WaitFor(child), 0));
  }
  stop = true;
}

}  // namespace
