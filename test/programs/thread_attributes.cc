// SPDX-License-Identifier: Apache-2.0
// What a thread is when it was made with an attribute object, or without one and the process's default attribute says
// the same: each setting by each way of making a thread. It says what it is itself, by all functions that tell; who
// makes it says what pthread_create answered. Then attributes that are refused, and what comes after a refusal.
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

namespace {

constexpr size_t kPage = 4096;
char* memory = nullptr;  // a stack of the program's
constexpr size_t kMemory = 256 * 1024;

int FirstCpu() {
  cpu_set_t all;
  sched_getaffinity(0, sizeof all, &all);
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  return first;
}

void Explicit(pthread_attr_t* attr, int policy, int priority) {
  const sched_param param = {.sched_priority = priority};
  pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(attr, policy);
  pthread_attr_setschedparam(attr, &param);
}

struct Setting {
  const char* name;
  void (*set)(pthread_attr_t* attr);
};

const Setting kSettings[] = {
    {"nothing", [](pthread_attr_t*) {}},
    {"detached", [](pthread_attr_t* a) { pthread_attr_setdetachstate(a, PTHREAD_CREATE_DETACHED); }},
    {"stack of 1 MiB", [](pthread_attr_t* a) { pthread_attr_setstacksize(a, 1 << 20); }},
    {"stack of 300,001 bytes", [](pthread_attr_t* a) { pthread_attr_setstacksize(a, 300'001); }},
    {"stack of 16 KiB and 100", [](pthread_attr_t* a) { pthread_attr_setstacksize(a, 16 * 1024 + 100); }},
    {"no guard", [](pthread_attr_t* a) { pthread_attr_setguardsize(a, 0); }},
    {"guard of one byte", [](pthread_attr_t* a) { pthread_attr_setguardsize(a, 1); }},
    {"guard of five pages", [](pthread_attr_t* a) { pthread_attr_setguardsize(a, 5 * kPage); }},
    {"a signal mask",
     [](pthread_attr_t* a) {
       sigset_t set;
       sigemptyset(&set);
       sigaddset(&set, SIGHUP);
       pthread_attr_setsigmask_np(a, &set);
     }},
    {"one CPU",
     [](pthread_attr_t* a) {
       cpu_set_t one;
       CPU_ZERO(&one);
       CPU_SET(FirstCpu(), &one);
       pthread_attr_setaffinity_np(a, sizeof one, &one);
     }},
    {"one CPU, in eight bytes",
     [](pthread_attr_t* a) {
       uint64_t one = uint64_t{1} << FirstCpu();
       pthread_attr_setaffinity_np(a, sizeof one, reinterpret_cast<cpu_set_t*>(&one));
     }},
    {"no CPU",
     [](pthread_attr_t* a) {
       cpu_set_t none;
       CPU_ZERO(&none);
       pthread_attr_setaffinity_np(a, sizeof none, &none);
     }},
    {"SCHED_BATCH", [](pthread_attr_t* a) { Explicit(a, SCHED_BATCH, 0); }},
    {"SCHED_FIFO 3", [](pthread_attr_t* a) { Explicit(a, SCHED_FIFO, 3); }},
    {"SCHED_RR 42", [](pthread_attr_t* a) { Explicit(a, SCHED_RR, 42); }},
    {"SCHED_FIFO 3 to be inherited",
     [](pthread_attr_t* a) {
       Explicit(a, SCHED_FIFO, 3);
       pthread_attr_setinheritsched(a, PTHREAD_INHERIT_SCHED);
     }},
    {"explicit, but nothing", [](pthread_attr_t* a) { pthread_attr_setinheritsched(a, PTHREAD_EXPLICIT_SCHED); }},
    {"an explicit policy alone",
     [](pthread_attr_t* a) {
       pthread_attr_setinheritsched(a, PTHREAD_EXPLICIT_SCHED);
       pthread_attr_setschedpolicy(a, SCHED_BATCH);
     }},
    {"the program's memory", [](pthread_attr_t* a) { pthread_attr_setstack(a, memory, kMemory); }},
    {"memory that is not whole pages", [](pthread_attr_t* a) { pthread_attr_setstack(a, memory + 64, kMemory - 192); }},
    {"all at once",
     [](pthread_attr_t* a) {
       Explicit(a, SCHED_BATCH, 0);
       pthread_attr_setstacksize(a, 1 << 20);
       pthread_attr_setguardsize(a, 3 * kPage);
       cpu_set_t one;
       CPU_ZERO(&one);
       CPU_SET(FirstCpu(), &one);
       pthread_attr_setaffinity_np(a, sizeof one, &one);
     }},
};

sem_t go, told;
size_t asked;  // of the stack; libc may give a larger one that it has

int Count(const pthread_attr_t* attr) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  return pthread_attr_getaffinity_np(attr, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : -1;
}

void Describe(pthread_t thread) {
  pthread_attr_t attr;
  void* base;
  size_t size, guard;
  int detached, inherit, policy, scope;
  sched_param param;
  sigset_t mask;
  if (int error = pthread_getattr_np(thread, &attr); error != 0) {
    printf("   pthread_getattr_np: %s\n", strerrorname_np(error));
    return;
  }
  pthread_attr_getstack(&attr, &base, &size);
  pthread_attr_getguardsize(&attr, &guard);
  pthread_attr_getdetachstate(&attr, &detached);
  pthread_attr_getinheritsched(&attr, &inherit);
  pthread_attr_getschedpolicy(&attr, &policy);
  pthread_attr_getschedparam(&attr, &param);
  pthread_attr_getscope(&attr, &scope);
  const auto at = reinterpret_cast<uintptr_t>(base);
  const bool own = base >= memory && base < memory + kMemory;
  printf("   object: %s, %s, stack %s at +%zu%s, guard %zu, policy %d priority %d scope %d, %d CPUs, mask %d\n",
         detached == PTHREAD_CREATE_DETACHED ? "detached" : "joinable",
         inherit == PTHREAD_EXPLICIT_SCHED ? "explicit" : "inherited", size < asked ? "too small" : "large enough",
         at % kPage, own ? " of the program's" : "", guard, policy, param.sched_priority, scope, Count(&attr),
         pthread_attr_getsigmask_np(&attr, &mask));
  pthread_attr_destroy(&attr);
}

void DescribeSelf() {
  int policy = -1;
  sched_param param{}, kernels{};
  sigset_t mask;
  cpu_set_t cpus;
  Describe(pthread_self());
  pthread_getschedparam(pthread_self(), &policy, &param);
  const int kernels_policy = sched_getscheduler(0);
  sched_getparam(0, &kernels);
  sched_getaffinity(0, sizeof cpus, &cpus);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  printf("   thread: policy %d priority %d, the kernel's %d %d, %d CPUs, SIGHUP %d, SIGUSR1 %d\n", policy,
         param.sched_priority, kernels_policy, kernels.sched_priority, CPU_COUNT(&cpus), sigismember(&mask, SIGHUP),
         sigismember(&mask, SIGUSR1));
}

void* Body(void*) {
  sem_wait(&go);
  DescribeSelf();
  sem_post(&told);
  return nullptr;
}
int C11Body(void*) {
  Body(nullptr);
  return 7;
}

// A thread that is detached is over soon after it has told; others are joined.
void Join(pthread_t thread) {
  sem_post(&go);
  sem_wait(&told);
  printf("   join: %s\n", strerrorname_np(pthread_join(thread, nullptr)));
}

void Make(const char* how, const pthread_attr_t* attr) {
  pthread_t thread;
  asked = 0;
  if (attr != nullptr) pthread_attr_getstacksize(attr, &asked);
  asked &= ~size_t{63};  // as glibc
  const int error = pthread_create(&thread, attr, Body, nullptr);
  printf("  %s: %s\n", how, strerrorname_np(error));
  if (error == 0) Join(thread);
}

void MakeC11() {
  thrd_t thread;
  const int answer = thrd_create(&thread, C11Body, nullptr);
  printf("  a C11 thread: %d\n", answer);
  if (answer == thrd_success) Join(thread);
}

void ByObject(const Setting& setting) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  setting.set(&attr);
  printf("%s, by an object\n", setting.name);
  Make("with it", &attr);
  pthread_attr_destroy(&attr);
}

void ByDefault(const Setting& setting) {
  pthread_attr_t before, attr, plain;
  pthread_getattr_default_np(&before);
  pthread_attr_init(&attr);
  pthread_attr_init(&plain);
  setting.set(&attr);
  printf("%s, by default: %s\n", setting.name, strerrorname_np(pthread_setattr_default_np(&attr)));
  Make("without an object", nullptr);
  Make("with an empty object", &plain);
  MakeC11();
  pthread_setattr_default_np(&before);
  pthread_attr_destroy(&attr);
  pthread_attr_destroy(&plain);
  pthread_attr_destroy(&before);
}

// Of sizes that do not do.
void Refused() {
  puts("refused");
  const struct {
    const char* name;
    size_t stack, guard;
  } sizes[] = {
      {"a huge guard", 1 << 20, SIZE_MAX - 100},
      {"a guard that is too much", 1 << 20, SIZE_MAX / 2},
      {"a stack that is too much", SIZE_MAX / 4, kPage},
      {"the least stack", static_cast<size_t>(PTHREAD_STACK_MIN), 0},
  };
  for (const auto& s : sizes) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    printf("  sizes: %s %s\n", strerrorname_np(pthread_attr_setstacksize(&attr, s.stack)),
           strerrorname_np(pthread_attr_setguardsize(&attr, s.guard)));
    Make(s.name, &attr);
    pthread_attr_destroy(&attr);
  }
}

}  // namespace

int main() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  memory = static_cast<char*>(mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  sem_init(&go, 0, 0);
  sem_init(&told, 0, 0);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  puts("main");
  Describe(pthread_self());
  for (const Setting& setting : kSettings) ByObject(setting);
  for (const Setting& setting : kSettings) ByDefault(setting);
  Refused();
  puts("main, of SCHED_BATCH");
  const sched_param none{};
  printf("  %s\n", strerrorname_np(pthread_setschedparam(pthread_self(), SCHED_BATCH, &none)));
  for (const Setting& setting : kSettings)
    if (strstr(setting.name, "plicit") != nullptr || strstr(setting.name, "inherited") != nullptr) ByObject(setting);
  Make("without an object", nullptr);
  return 0;
}
