// SPDX-License-Identifier: Apache-2.0
// A library with initial-exec variables is loaded and unloaded all the time, so that ld.so writes into all threads,
// while a thousand threads come and go, and their memory after them, and one after the other is made and joined, each
// of which is given the variables of what is loaded. usage: loading_as_threads_go [SECONDS] test: stress=30
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include <atomic>
#include <string>
#include <vector>

#include "chaos.h"

namespace {

constexpr int kThreads = 1000, kStackSize = 64 * 1024;
constexpr useconds_t kUntilMemoryGoes = 1'200'000;  // a second without use is what libraries wait for at most

std::atomic<bool> g_over{false};

void* Load(void* argument) {
  const auto* path = static_cast<const std::string*>(argument);
  while (!g_over) {
    void* library = dlopen(path->c_str(), RTLD_NOW);
    if (library == nullptr) Fail(dlerror());
    auto* number = reinterpret_cast<int* (*)()>(dlsym(library, "ValuesNumber"));
    if (number == nullptr || *number() != 1234) Fail("the library's number");
    dlclose(library);
  }
  return nullptr;
}

void* Nothing(void*) {
  return nullptr;
}

void* OneByOne(void*) {
  while (!g_over) {
    pthread_t thread;
    if (const int error = pthread_create(&thread, nullptr, Nothing, nullptr); error != 0) Fail("pthread_create", error);
    pthread_join(thread, nullptr);
  }
  return nullptr;
}

pthread_barrier_t g_barrier;

void* Live(void*) {
  pthread_barrier_wait(&g_barrier);
  return nullptr;
}

void ComeAndGo() {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, kStackSize);
  pthread_barrier_init(&g_barrier, nullptr, kThreads + 1);
  std::vector<pthread_t> threads(kThreads);
  for (pthread_t& thread : threads)
    if (const int error = pthread_create(&thread, &small, Live, nullptr); error != 0) Fail("pthread_create", error);
  pthread_barrier_wait(&g_barrier);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  pthread_attr_destroy(&small);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t end = NowNs() + static_cast<int64_t>((argc > 1 ? atof(argv[1]) : 3) * 1e9);
  char program[PATH_MAX] = {};
  Check(static_cast<int>(readlink("/proc/self/exe", program, sizeof program - 1)), "readlink");
  std::string path = program;
  path = path.substr(0, path.rfind('/')) + "/plugins/values_static.so";
  pthread_t loader, maker;
  if (pthread_create(&loader, nullptr, Load, &path) != 0) Fail("pthread_create");
  if (pthread_create(&maker, nullptr, OneByOne, nullptr) != 0) Fail("pthread_create");
  while (NowNs() < end) {
    ComeAndGo();
    for (int i = 0; i < 2; ++i) usleep(kUntilMemoryGoes);
  }
  g_over = true;
  pthread_join(loader, nullptr);
  pthread_join(maker, nullptr);
  puts("all threads were written to");
  return 0;
}
