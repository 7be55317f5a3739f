// SPDX-License-Identifier: Apache-2.0
// What a thread can see of itself and of its process, in a few lines of the log: what a case did must change the same
// of it as natively, for the caller and for the others.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contexts.h"

enum { kShownDescriptors = 40, kTextSize = 400 };

// Appends as much as there is room for.
static void Append(char* text, const char* format, ...) __attribute__((format(printf, 2, 3)));
static void Append(char* text, const char* format, ...) {
  const size_t used = strlen(text);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text + used, kTextSize - used, format, arguments);
  va_end(arguments);
}

static void AppendSet(char* text, const char* title, const sigset_t* set) {
  Append(text, " %s", title);
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (sigismember(set, signal) == 1) Append(text, ",%d", signal);
  }
}

static void ShowSignals(const char* who) {
  char text[kTextSize] = "";
  sigset_t set;
  sigemptyset(&set);
  pthread_sigmask(SIG_BLOCK, NULL, &set);
  AppendSet(text, "mask", &set);
  sigemptyset(&set);
  sigpending(&set);
  AppendSet(text, "pending", &set);
  stack_t stack = {.ss_flags = -1};
  sigaltstack(NULL, &stack);
  Append(text, " altstack %d %zu", stack.ss_flags, stack.ss_size);
  Append(text, " actions");
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    struct sigaction action;
    if (sigaction(signal, NULL, &action) == -1) continue;
    const char* kind = action.sa_handler == SIG_IGN ? "ignored" : "handler";
    if (action.sa_handler != SIG_DFL) Append(text, " %d:%s:%x", signal, kind, action.sa_flags);
  }
  Say("%s:%s", who, text);
}

static void ShowDescriptors(const char* who) {
  char text[kTextSize] = "";
  for (int fd = 0; fd < kShownDescriptors; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags != -1) Append(text, " %d:%d:%x", fd, flags, fcntl(fd, F_GETFL));
  }
  Say("%s: descriptors%s", who, text);
}

static void ShowThread(const char* who) {
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  int state = -1;
  int type = -1;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
  pthread_setcanceltype(type, NULL);
  pthread_setcancelstate(state, NULL);
  int policy = -1;
  struct sched_param param = {-1};
  pthread_getschedparam(pthread_self(), &policy, &param);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  const int error = sched_getaffinity(0, sizeof cpus, &cpus);
  Say("%s: name %s cancel %d %d policy %d %d scheduler %d nice %d cpus %d (%d) value %ld", who, name, state, type,
      policy, param.sched_priority, sched_getscheduler(0), getpriority(PRIO_PROCESS, 0), CPU_COUNT(&cpus), error,
      (long)pthread_getspecific(state_key));
}

static void ShowProcess(const char* who) {
  uid_t users[3] = {77, 77, 77};
  gid_t groups[3] = {77, 77, 77};
  getresuid(&users[0], &users[1], &users[2]);
  getresgid(&groups[0], &groups[1], &groups[2]);
  const int child = waitpid(-1, NULL, WNOHANG);  // whether it has ended yet is chance
  Say("%s: users %u %u %u groups %u %u %u children: %s", who, users[0], users[1], users[2], groups[0], groups[1],
      groups[2], child == -1 ? "none" : "some");
}

pthread_key_t state_key;

void ShowState(const char* who) {
  ShowSignals(who);
  ShowThread(who);
  ShowDescriptors(who);
  ShowProcess(who);
}
