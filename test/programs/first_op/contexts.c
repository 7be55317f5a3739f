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

// A thread that cannot be joined where the case detaches it.
struct Thread {
  pthread_t id;
  sem_t over;
  void* (*body)(void*);
  const char* name;
};

static void PostOver(void* thread) {
  sem_post(&((struct Thread*)thread)->over);
}

static void* RunBody(void* argument) {
  struct Thread* thread = argument;
  void* result;
  pthread_cleanup_push(PostOver, thread);
  result = thread->body((void*)thread->name);
  pthread_cleanup_pop(1);
  return result;
}

static void Start(struct Thread* thread, Create create, void* (*body)(void*), const char* name) {
  thread->body = body;
  thread->name = name;
  CHECK(sem_init(&thread->over, 0, 0) == 0);
  CHECK(create(&thread->id, NULL, RunBody, thread) == 0);
}

static void* AwaitEnd(struct Thread* thread) {
  void* result = NULL;
  if (strcmp(thread->name, "pthread_detach:self") != 0) {
    CHECK(pthread_join(thread->id, &result) == 0);
  } else {
    while (sem_wait(&thread->over) == -1) CHECK(errno == EINTR);
  }
  return result;
}

static int RunInThread(Create create, void* (*body)(void*), const char* name) {
  static struct Thread thread;
  Start(&thread, create, body, name);
  void* result = AwaitEnd(&thread);
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

static int InThreadBesideOthers(void* (*body)(void*), const char* name) {
  Begin();
  return End(RunInThread(pthread_create, body, name));
}

static int InMainBesideOthers(void* (*body)(void*), const char* name) {
  Begin();
  body((void*)name);
  return End(0);
}

static int InLaterThread(const char* name) {
  return InThreadBesideOthers(RunAndShow, name);
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
  return InThreadBesideOthers(RunOnOneCpu, name);
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
  return InThreadBesideOthers(RunInVforkChild, name);
}

static int InVforkChildOfMain(const char* name) {
  return InMainBesideOthers(RunInVforkChild, name);
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
  return InThreadBesideOthers(RunInForkedChild, name);
}

static int InForkedChildOfMain(const char* name) {
  return InMainBesideOthers(RunInForkedChild, name);
}

// In a handler that interrupted a wait

static const char* case_of_handler;
static sem_t wait_sem;
static int wait_pipe[2];
static sem_t may_show;
static pthread_mutex_t wait_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wait_cond = PTHREAD_COND_INITIALIZER;
static volatile int about_to_wait;
static volatile int wait_over;

static void RunInHandler(int signal) {
  Say("handler of %d", signal);
  FirstOp(case_of_handler);
  Say("handler returns");
}

// Not while main has descriptors of its own.
static void ShowWhenLetTo(void) {
  CHECK(sem_wait(&may_show) == 0);
  ShowState("thread");
}

static void* WaitForSemaphore(void* name) {
  about_to_wait = 1;
  const int result = sem_wait(&wait_sem);
  SayResult(result, result == -1 ? errno : kUntouched);
  ShowWhenLetTo();
  (void)name;
  return NULL;
}

static void* WaitForData(void* name) {
  char byte = 0;
  about_to_wait = 1;
  const ssize_t result = read(wait_pipe[0], &byte, 1);
  SayResult(result, result == -1 ? errno : kUntouched);
  ShowWhenLetTo();
  (void)name;
  return NULL;
}

static void* WaitForCondition(void* name) {
  pthread_mutex_lock(&wait_mutex);
  about_to_wait = 1;
  while (!wait_over) pthread_cond_wait(&wait_cond, &wait_mutex);
  pthread_mutex_unlock(&wait_mutex);
  ShowWhenLetTo();
  (void)name;
  return NULL;
}

static int InHandlerOf(void* (*wait)(void*), const char* name, int flags) {
  Begin();
  case_of_handler = name;
  CHECK(sem_init(&wait_sem, 0, 0) == 0 && sem_init(&may_show, 0, 0) == 0 && pipe2(wait_pipe, O_CLOEXEC) == 0);
  struct sigaction action = {.sa_handler = RunInHandler, .sa_flags = flags};
  CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
  static struct Thread thread;
  Start(&thread, pthread_create, wait, name);
  AwaitWaiting(&about_to_wait);
  CHECK(pthread_kill(thread.id, SIGRTMIN) == 0);
  // The handler may itself wait for a while, and for good where its thread ends in it.
  AwaitWaiting(&about_to_wait);
  wait_over = 1;
  pthread_cond_broadcast(&wait_cond);
  CHECK(write(wait_pipe[1], "x", 1) == 1 && sem_post(&may_show) == 0);
  Say("the thread gave %ld", (long)AwaitEnd(&thread));
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
  static struct Thread thread;
  Start(&thread, pthread_create, body, name);
  while (sem_wait(&may_be_cancelled) == -1) CHECK(errno == EINTR);
  CHECK(pthread_cancel(thread.id) == 0);
  CHECK(sem_post(&is_cancelled) == 0);
  Say("the thread gave %ld", (long)AwaitEnd(&thread));
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
