// SPDX-License-Identifier: Apache-2.0
// The contexts that a case runs in. The first of them call the function first of all; in the others the program has
// threads and has had others. Each says what the case came to, and then what those see who are left.
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "contexts.h"

// A child or a wait that hangs ends, and says so by its status.
enum { kChildSeconds = 10 };

void SeeThatThreadsWork(void) {
  struct Handover handover = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, HandOver, &handover) == 0);
  CHECK(pthread_mutex_lock(&handover.mutex) == 0);
  while (!handover.ready) CHECK(pthread_cond_wait(&handover.cond, &handover.mutex) == 0);
  CHECK(pthread_mutex_unlock(&handover.mutex) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void* Run(void* name) {
  return (void*)(long)FirstOp(name);
}

static int Exits(const char* name) {
  return strcmp(name, "pthread_exit") == 0 || strcmp(name, "thrd_exit") == 0;
}

typedef int (*Create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

static int RunInThread(Create create, void* (*body)(void*), const char* name) {
  pthread_t thread;
  void* result = NULL;
  CHECK(create(&thread, NULL, body, (void*)name) == 0);
  if (strcmp(name, "pthread_detach:self") == 0) {
    usleep(5000);  // It cannot be joined.
    return 0;
  }
  CHECK(pthread_join(thread, &result) == 0);
  if (result == PTHREAD_CANCELED) Say("the thread was cancelled");
  if (result == PTHREAD_CANCELED || (Exits(name) && result == (void*)FIRST_OP_RESULT)) return 0;
  return (int)(long)result;
}

// First of all

static int InMain(const char* name) {
  const int status = FirstOp(name);
  SeeThatThreadsWork();
  return status;
}

static int InThread(const char* name) {
  const int status = RunInThread(pthread_create, Run, name);
  SeeThatThreadsWork();
  return status;
}

static int InConstructor(const char* name) {
  (void)name;
  SeeThatThreadsWork();
  return FirstOpCtorStatus();
}

// A thread that libc made without any interposer's knowledge.
static int InForeignThread(const char* name) {
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  CHECK(libc != NULL);
  void* symbol = dlsym(libc, "pthread_create");
  Create create;
  memcpy(&create, &symbol, sizeof create);
  const int status = RunInThread(create, Run, name);
  SeeThatThreadsWork();
  return status;
}

static int Confined(const char* name) {
  Confine(0);
  const int status = FirstOp(name);
  SeeThatThreadsWork();
  return status;
}

// With threads

static void Begin(void) {
  SeeThatThreadsWork();
  StartCompanion();
}

static int End(int status) {
  ShowState("main");
  AskCompanion();
  EndCompanion();
  SeeThatThreadsWork();
  return status;
}

static void* RunAndShow(void* name) {
  pthread_setspecific(state_key, (void*)3);
  const long status = FirstOp(name);
  ShowState("thread");
  return (void*)status;
}

static int InLaterThread(const char* name) {
  Begin();
  return End(RunInThread(pthread_create, RunAndShow, name));
}

// One that asks for a CPU of its own needs a kernel thread of its own.
static void* RunOnOneCpu(void* name) {
  cpu_set_t cpus;
  CHECK(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
  int first = 0;
  while (!CPU_ISSET(first, &cpus)) ++first;
  CPU_ZERO(&cpus);
  CPU_SET(first, &cpus);
  CHECK(pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus) == 0);
  return RunAndShow(name);
}

static int InWiredThread(const char* name) {
  Begin();
  return End(RunInThread(pthread_create, RunOnOneCpu, name));
}

static void SayHowItEnded(pid_t child) {
  const int status = WaitForStatus(child);
  if (WIFEXITED(status)) Say("child: exit status %d", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) Say("child: signal %d", WTERMSIG(status));
}

static void* RunInVforkChild(void* name) {
  pthread_setspecific(state_key, (void*)3);
  const pid_t child = vfork();
  if (child == 0) {
    alarm(kChildSeconds);
    const int status = FirstOp(name);
    ShowState("child");
    _exit(status);
  }
  CHECK(child > 0);
  SayHowItEnded(child);
  ShowState("parent");
  return NULL;
}

static int InVforkChild(const char* name) {
  Begin();
  return End(RunInThread(pthread_create, RunInVforkChild, name));
}

static int InVforkChildOfMain(const char* name) {
  Begin();
  RunInVforkChild((void*)name);
  return End(0);
}

static void* RunInForkedChild(void* name) {
  pthread_setspecific(state_key, (void*)3);
  const pid_t child = fork();
  if (child == 0) {
    alarm(kChildSeconds);
    const int status = FirstOp(name);
    ShowState("child");
    SeeThatThreadsWork();
    _exit(status);
  }
  CHECK(child > 0);
  SayHowItEnded(child);
  return NULL;
}

static int InForkedChild(const char* name) {
  Begin();
  return End(RunInThread(pthread_create, RunInForkedChild, name));
}

static int InForkedChildOfMain(const char* name) {
  Begin();
  RunInForkedChild((void*)name);
  return End(0);
}

// In a handler that interrupted a wait

static const char* case_of_handler;
static sem_t wait_sem;
static int wait_pipe[2];
static pthread_mutex_t wait_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wait_cond = PTHREAD_COND_INITIALIZER;
static volatile int about_to_wait;
static volatile int wait_over;

static void RunInHandler(int signal) {
  Say("handler of %d", signal);
  FirstOp(case_of_handler);
  Say("handler returns");
}

static void* WaitForSemaphore(void* unused) {
  about_to_wait = 1;
  const int result = sem_wait(&wait_sem);
  SayResult(result, result == -1 ? errno : kUntouched);
  ShowState("thread");
  return unused;
}

static void* WaitForData(void* unused) {
  char byte = 0;
  about_to_wait = 1;
  const ssize_t result = read(wait_pipe[0], &byte, 1);
  SayResult(result, result == -1 ? errno : kUntouched);
  ShowState("thread");
  return unused;
}

static void* WaitForCondition(void* unused) {
  pthread_mutex_lock(&wait_mutex);
  about_to_wait = 1;
  while (!wait_over) pthread_cond_wait(&wait_cond, &wait_mutex);
  pthread_mutex_unlock(&wait_mutex);
  ShowState("thread");
  return unused;
}

static int InHandlerOf(void* (*wait)(void*), const char* name, int flags) {
  Begin();
  case_of_handler = name;
  CHECK(sem_init(&wait_sem, 0, 0) == 0 && pipe2(wait_pipe, O_CLOEXEC) == 0);
  struct sigaction action = {.sa_handler = RunInHandler, .sa_flags = flags};
  CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, wait, NULL) == 0);
  AwaitWaiting(&about_to_wait);
  CHECK(pthread_kill(thread, SIGRTMIN) == 0);
  // The handler may itself wait for a while, and for good where its thread ends in it.
  AwaitWaiting(&about_to_wait);
  wait_over = 1;
  pthread_cond_broadcast(&wait_cond);
  CHECK(write(wait_pipe[1], "x", 1) == 1);
  if (strcmp(name, "pthread_detach:self") == 0) {
    AwaitWaiting(&about_to_wait);
  } else {
    CHECK(pthread_join(thread, &result) == 0);
    Say("the thread gave %ld", (long)result);
  }
  return End(0);
}

static int InHandlerDuringSemWait(const char* name) {
  return InHandlerOf(WaitForSemaphore, name, 0);
}
static int InHandlerDuringRead(const char* name) {
  return InHandlerOf(WaitForData, name, SA_RESTART);
}
static int InHandlerDuringCondWait(const char* name) {
  return InHandlerOf(WaitForCondition, name, 0);
}

// With a cancel pending

static sem_t may_be_cancelled, is_cancelled;

static void AwaitCancel(void) {
  int old;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old) == 0);
  CHECK(sem_post(&may_be_cancelled) == 0);
  while (sem_wait(&is_cancelled) == -1) CHECK(errno == EINTR);
}

static void* RunWithCancelPending(void* name) {
  AwaitCancel();
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL) == 0);
  const long status = FirstOp(name);
  Say("no cancellation point");
  pthread_testcancel();
  Say("the cancel is not pending any more");
  return (void*)status;
}

static void* RunWithCancelDisabled(void* name) {
  AwaitCancel();
  const long status = FirstOp(name);
  ShowState("thread");
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  pthread_testcancel();
  Say("the cancel is not pending any more");
  return (void*)status;
}

static int WithCancelPending(void* (*body)(void*), const char* name) {
  Begin();
  CHECK(sem_init(&may_be_cancelled, 0, 0) == 0 && sem_init(&is_cancelled, 0, 0) == 0);
  pthread_t thread;
  void* result = NULL;
  CHECK(pthread_create(&thread, NULL, body, (void*)name) == 0);
  while (sem_wait(&may_be_cancelled) == -1) CHECK(errno == EINTR);
  CHECK(pthread_cancel(thread) == 0);
  CHECK(sem_post(&is_cancelled) == 0);
  if (strcmp(name, "pthread_detach:self") == 0) {
    AwaitWaiting(&(volatile int){1});
  } else {
    CHECK(pthread_join(thread, &result) == 0);
    Say("the thread gave %ld", (long)result);
  }
  return End(0);
}

static int WithCancelEnabled(const char* name) {
  return WithCancelPending(RunWithCancelPending, name);
}
static int WithCancelDisabled(const char* name) {
  return WithCancelPending(RunWithCancelDisabled, name);
}

static int ConfinedLate(const char* name) {
  SeeThatThreadsWork();
  Confine(1);
  const int status = RunInThread(pthread_create, Run, name);
  SeeThatThreadsWork();
  return status;
}

const struct Context kContexts[] = {
    {"main", InMain},
    {"thread", InThread},
    {"ctor", InConstructor},
    {"foreign", InForeignThread},
    {"later", InLaterThread},
    {"wired", InWiredThread},
    {"vfork", InVforkChild},
    {"vfork-main", InVforkChildOfMain},
    {"fork", InForkedChild},
    {"fork-main", InForkedChildOfMain},
    {"handler-sem", InHandlerDuringSemWait},
    {"handler-read", InHandlerDuringRead},
    {"handler-cond", InHandlerDuringCondWait},
    {"cancel", WithCancelEnabled},
    {"cancel-disabled", WithCancelDisabled},
    {"confined", Confined},
    {"confined-late", ConfinedLate},
};
const size_t kContextCount = sizeof kContexts / sizeof kContexts[0];
