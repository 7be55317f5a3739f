// SPDX-License-Identifier: Apache-2.0
// What threads register with the kernel themselves, each for itself: an rseq area (where libc has none, as with
// GLIBC_TUNABLES=glibc.pthread.rseq=0, with which this program runs itself anew), and a robust list. It is the thread's
// alone, follows its CPU, can be taken back, and is gone with the thread: who lives in that memory next finds what it
// wrote there. Names of threads that are kernel threads of their own, as others see them.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <list>

#include "threads.h"

namespace {

struct alignas(32) Area {  // struct rseq
  uint32_t cpu_id_start, cpu_id;
  uint64_t critical_section;
  uint32_t flags, padding[3];
};
thread_local Area area;
constexpr uint32_t kSignature = 0x53053053;

long Register() {
  area.cpu_id = 0xffffffffu;
  return syscall(SYS_rseq, &area, 32, 0, kSignature) == 0 ? 0 : errno;
}
long Unregister() {
  return syscall(SYS_rseq, &area, 32, 1, kSignature) == 0 ? 0 : errno;
}

long WrongCpus() {
  long wrong = 0;
  for (int i = 0; i < 300; ++i) {
    unsigned before, after;
    syscall(SYS_getcpu, &before, nullptr, nullptr);
    const unsigned seen = *const_cast<volatile uint32_t*>(&area.cpu_id);
    syscall(SYS_getcpu, &after, nullptr, nullptr);
    if (before == after && seen != before) ++wrong;
    if (i % 7 == 0) sched_yield();
  }
  return wrong;
}

void Rseq() {
  std::atomic<long> failed{0}, wrong{0}, again{0};
  constexpr int kCrowd = 6, kLives = 20;
  std::list<Thread> crowd;
  for (int i = 0; i < kCrowd; ++i)
    crowd.emplace_back([&] {
      failed += Register() != 0;
      wrong += WrongCpus();
      again += Register() != EBUSY;
      failed += Unregister() != 0;
    });
  for (Thread& t : crowd) t.Join();
  printf("registered by threads: %ld failed, %ld wrong, %ld not busy\n", failed.load(), wrong.load(), again.load());
  for (int i = 0; i < kLives; ++i) {
    Thread([&] { failed += Register() != 0; });  // and leaves it to the kernel
    Thread([&] {
      area.cpu_id = 0x1234;
      WrongCpus();
      wrong += area.cpu_id != 0x1234;
    });
  }
  printf("left by threads: %ld failed, %ld written to afterwards\n", failed.load(), wrong.load());
  const long registered = Register(), wrong_of_main = WrongCpus(), unregistered = Unregister();
  printf("by main: %ld, %ld wrong, %ld\n", registered, wrong_of_main, unregistered);
}

struct Head {
  void* list;
  long offset;
  void* pending;
};
struct Node {
  void* next;
  std::atomic<uint32_t> word;
};

void RobustList() {
  static Node node;
  static Head head{&node, offsetof(Node, word), nullptr};
  node.next = &head;
  Thread([] {
    Head* present = nullptr;
    size_t size = 0;
    printf("set_robust_list: %ld\n", syscall(SYS_set_robust_list, &head, sizeof head));
    printf("get_robust_list: %ld, ", syscall(SYS_get_robust_list, 0, &present, &size));
    printf("%s\n", present == &head ? "it is that" : "it is another");
    node.word = static_cast<uint32_t>(syscall(SYS_gettid)) | FUTEX_WAITERS;
  });
  const int64_t end = kPatienceNs / 20'000'000;
  int64_t looks = 0;
  while ((node.word & FUTEX_OWNER_DIED) == 0 && ++looks < end) usleep(1000);
  printf("the owner has died: %d\n", (node.word & FUTEX_OWNER_DIED) != 0);
}

void Comm(const char* who) {
  char path[64], comm[32] = "";
  snprintf(path, sizeof path, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
  const int fd = open(path, O_RDONLY);
  if (read(fd, comm, sizeof comm - 1) <= 0) strcpy(comm, "?\n");
  close(fd);
  printf("%s is %s", who, comm);
}

void Names() {
  prctl(PR_SET_NAME, "creator");
  Thread([] {
    const sched_param none{};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
    Comm("a thread of SCHED_BATCH");
    pthread_setname_np(pthread_self(), "another");
    Comm("after pthread_setname_np");
    prctl(PR_SET_NAME, "third");
    Comm("after prctl");
    Thread([] { Comm("its thread"); });
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    printf("told: %s\n", name);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
    execl("/proc/self/exe", argv[0], "anew", nullptr);
    return 1;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);
  Rseq();
  RobustList();
  Names();
  return 0;
}
