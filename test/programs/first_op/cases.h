// SPDX-License-Identifier: Apache-2.0
// What the families of cases share: a family is a file of functions under test and its table.
#ifndef TEST_PROGRAMS_FIRST_OP_CASES_H_
#define TEST_PROGRAMS_FIRST_OP_CASES_H_

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "first_op.h"

typedef void (*Function)(void);

struct Case {
  const char* name;
  void (*body)(Function function);
  Function function;  // NULL: declared in no header, so looked up by name.
};

struct Family {
  const struct Case* cases;
  size_t count;
};

#define DECLARED(name, body) \
  { #name, body, (Function)name }
#define BY_NAME(name, body) \
  { #name, body, NULL }
#define FAMILY(table) \
  { table, sizeof table / sizeof table[0] }

extern const struct Family kThreadFamily;
extern const struct Family kDataFamily;
extern const struct Family kLockFamily;
extern const struct Family kSemFamily;
extern const struct Family kC11Family;
extern const struct Family kProcessFamily;
extern const struct Family kSignalFamily;
extern const struct Family kSyscallFamily;
extern const struct Family kIoFamily;

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      dprintf(STDERR_FILENO, "%s: line %d: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                    \
    }                                                                              \
  } while (0)

// The function under test, with the type of the one that the headers declare.
#define AS(declared) ((__typeof__(&declared))function)

static inline struct timespec In(clockid_t clock, long seconds) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += seconds;
  return time;
}

static inline int WaitForStatus(pid_t child) {
  int status = -1;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  return status;
}

static inline void* Echo(void* argument) {
  return argument;
}

struct Handover {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int ready;
};
// A thread that sets `ready` and signals.
void* HandOver(void* handover);

#endif  // TEST_PROGRAMS_FIRST_OP_CASES_H_
