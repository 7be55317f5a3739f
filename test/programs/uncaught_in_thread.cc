// SPDX-License-Identifier: Apache-2.0
// An exception that nobody catches in a thread: the terminate handler runs there, then SIGABRT.
// test: signal=yes
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

namespace {

std::thread::id throwing;

[[noreturn]] void Terminate() {
  try {
    throw;
  } catch (const std::exception& error) {
    std::printf("terminate: %s, in its thread: %d\n", error.what(), std::this_thread::get_id() == throwing);
  }
  std::fflush(stdout);
  std::abort();
}

}  // namespace

int main() {
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  std::set_terminate(&Terminate);
  std::thread thread([] {
    throwing = std::this_thread::get_id();
    throw std::runtime_error("uncaught");
  });
  thread.join();
  return 2;
}
