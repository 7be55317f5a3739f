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
extern const struct Family kKernelFamily;
extern const struct Family kTrafficFamily;

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      dprintf(STDERR_FILENO, "%s: line %d: %s\n", __FILE__, __LINE__, #condition); \
      Say("failed: %s", #condition);                                               \
      _exit(1);                                                                    \
    }                                                                              \
  } while (0)

// One line of what the case came to, which must be as natively (log.c). errno stays.
void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));

// What errno is before each call: no function of the table sets it to this.
enum { kUntouched = 7777 };
void SayResult(long result, int error);

// A call of the function under test, whose result and errno are said. CALL gives it the type of the one that the
// headers declare; CALL_AS takes a pointer. CALL_SIGN says no more than whether the result is negative, zero or
// positive; CALL_QUIET is for what returns twice: the parent says it with SAY_CALLED.
#define CALLED_(shown, pointer, ...)              \
  ({                                              \
    errno = kUntouched;                           \
    __auto_type result_ = (pointer)(__VA_ARGS__); \
    SayResult(shown, errno);                      \
    result_;                                      \
  })
#define SIGN_ (((long)result_ > 0) - ((long)result_ < 0))
#define TYPED_(declared) ((__typeof__(&declared))function)
#define CALL_AS(pointer, ...) CALLED_((long)result_, pointer, ##__VA_ARGS__)
#define CALL(declared, ...) CALLED_((long)result_, TYPED_(declared), ##__VA_ARGS__)
#define CALL_SIGN(declared, ...) CALLED_(SIGN_, TYPED_(declared), ##__VA_ARGS__)
#define CALL_QUIET(declared, ...) (errno = kUntouched, TYPED_(declared)(__VA_ARGS__))
#define SAY_CALLED(result) SayResult(result, errno)
#define CALL_VOID_AS(pointer, ...) (errno = kUntouched, (pointer)(__VA_ARGS__), SayResult(0, errno))
#define CALL_VOID(declared, ...) CALL_VOID_AS(TYPED_(declared), ##__VA_ARGS__)

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
