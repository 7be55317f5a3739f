// SPDX-License-Identifier: Apache-2.0
// Priority-protecting mutexes beside pthread_setschedparam and the rest: what a thread is told that it has, and what
// the kernel has, at each step. In main before and after threads were made, in a thread, and in a thread of such a one.
// Where the system grants no real-time policy it says so, as natively.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "threads.h"

namespace {

void Say(const char* what, int answer) {
  int policy = -1;
  sched_param param{}, kernels{}, raw{};
  pthread_getschedparam(pthread_self(), &policy, &param);
  sched_getparam(0, &kernels);
  syscall(SYS_sched_getparam, 0, &raw);
  printf("  %s: %s; policy %d priority %d, the kernel's %d %d %d\n", what, strerrorname_np(answer), policy,
         param.sched_priority, sched_getscheduler(0), kernels.sched_priority, raw.sched_priority);
}

int Set(int policy, int priority) {
  const sched_param param = {.sched_priority = priority};
  return pthread_setschedparam(pthread_self(), policy, &param);
}

class Protecting {
 public:
  explicit Protecting(int ceiling) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_PROTECT);
    pthread_mutexattr_setprioceiling(&attr, ceiling);
    Expect(pthread_mutex_init(&mutex, &attr) == 0, "pthread_mutex_init");
    pthread_mutexattr_destroy(&attr);
  }
  ~Protecting() { pthread_mutex_destroy(&mutex); }
  Protecting(const Protecting&) = delete;
  Protecting& operator=(const Protecting&) = delete;
  pthread_mutex_t mutex;
};

void Steps(const char* who) {
  printf("%s\n", who);
  Protecting low(7), high(20);
  Say("at first", 0);
  Say("lock without a priority", pthread_mutex_lock(&low.mutex));
  Say("unlock", pthread_mutex_unlock(&low.mutex));
  Say("SCHED_FIFO 4", Set(SCHED_FIFO, 4));
  Say("lock 7", pthread_mutex_lock(&low.mutex));
  Say("lock 20, too", pthread_mutex_lock(&high.mutex));
  Say("unlock 20", pthread_mutex_unlock(&high.mutex));
  Say("SCHED_FIFO 5 while it is held", Set(SCHED_FIFO, 5));
  Say("SCHED_RR 6", Set(SCHED_RR, 6));
  Say("priority 3", pthread_setschedprio(pthread_self(), 3));
  Say("SCHED_FIFO 8, above it", Set(SCHED_FIFO, 8));
  Say("unlock 7", pthread_mutex_unlock(&low.mutex));
  Say("lock 7, below", pthread_mutex_lock(&low.mutex));
  Say("trylock 7, below", pthread_mutex_trylock(&low.mutex));
  Say("trylock 20", pthread_mutex_trylock(&high.mutex));
  int old = -1;
  Say("unlock 20", pthread_mutex_unlock(&high.mutex));
  Say("ceiling 30", pthread_mutex_setprioceiling(&high.mutex, 30, &old));
  printf("  it was %d\n", old);
  Say("lock 30", pthread_mutex_lock(&high.mutex));
  const sched_param behind = {.sched_priority = 9};
  Say("sched_setscheduler 9", sched_setscheduler(0, SCHED_FIFO, &behind) == 0 ? 0 : errno);
  Say("unlock 30", pthread_mutex_unlock(&high.mutex));
  Say("SCHED_OTHER", Set(SCHED_OTHER, 0));
}

// The next thread begins without what this one held.
void DiesWithOne() {
  puts("a thread that dies with one");
  static Protecting left(15);
  Thread([] {
    Say("SCHED_FIFO 4", Set(SCHED_FIFO, 4));
    Say("lock 15", pthread_mutex_lock(&left.mutex));
  });
  Thread([] {
    Protecting other(10);
    Say("at first", 0);
    Say("SCHED_FIFO 2", Set(SCHED_FIFO, 2));
    Say("lock 10", pthread_mutex_lock(&other.mutex));
    Say("unlock 10", pthread_mutex_unlock(&other.mutex));
    Say("SCHED_OTHER", Set(SCHED_OTHER, 0));
  });
}

// Another thread sets it while the mutex is held.
void SetByAnother() {
  puts("another sets it");
  Protecting mutex(12);
  std::atomic<int> step{0};
  Thread holder([&] {
    Say("SCHED_FIFO 4", Set(SCHED_FIFO, 4));
    Say("lock 12", pthread_mutex_lock(&mutex.mutex));
    step = 1;
    while (step != 2) usleep(100);
    Say("it was set to 6", 0);
    Say("unlock 12", pthread_mutex_unlock(&mutex.mutex));
  });
  while (step != 1) usleep(100);
  const sched_param param = {.sched_priority = 6};
  printf("  set: %s\n", strerrorname_np(pthread_setschedparam(holder.id, SCHED_FIFO, &param)));
  step = 2;
}

}  // namespace

int main() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  Steps("main, alone");
  Thread([] { Steps("a thread"); });
  Steps("main");
  Thread([] {
    Set(SCHED_FIFO, 3);
    Thread([] { Steps("a thread of one of SCHED_FIFO 3"); });
    Set(SCHED_OTHER, 0);
  });
  DiesWithOne();
  SetByAnother();
  return 0;
}
