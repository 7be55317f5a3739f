// SPDX-License-Identifier: Apache-2.0
// Which thread_local and static objects are destroyed when a thread calls exit(), and in which order.
#include <semaphore.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

struct Loud {
  explicit Loud(const char* what) : name(what) {}
  ~Loud() { std::printf("~%s\n", name); }
  const char* name;
};

Loud global("global");
thread_local Loud local("local of some thread");

}  // namespace

int main() {
  static Loud in_main("static in main");
  local.name = "local of main, which is not the one that exits";
  std::thread([] { local.name = "local of a thread that ended"; }).join();
  static sem_t ready;
  sem_init(&ready, 0, 0);
  std::thread([] {
    local.name = "local of a blocked thread";
    sem_post(&ready);
    for (;;) pause();
  }).detach();
  sem_wait(&ready);
  std::thread([] {
    local.name = "local of the thread that exits";
    std::exit(5);
  }).join();
  return 1;
}
