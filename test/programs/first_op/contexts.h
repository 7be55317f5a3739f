// SPDX-License-Identifier: Apache-2.0
// In what a case may be called, and what the contexts are made of.
#ifndef TEST_PROGRAMS_FIRST_OP_CONTEXTS_H_
#define TEST_PROGRAMS_FIRST_OP_CONTEXTS_H_

#include <pthread.h>

#include "cases.h"

struct Context {
  const char* name;
  int (*run)(const char* name);  // the exit status
};
extern const struct Context kContexts[];
extern const size_t kContextCount;

// state.c
void ShowState(const char* who);
extern pthread_key_t state_key;  // whose value ShowState shows

// contexts.c
// Whatever came first, threads work.
void SeeThatThreadsWork(void);

// companion.c: another thread of the program, which waits while the case runs.
void StartCompanion(void);
// It shows its state and whether a signal reaches it.
void AskCompanion(void);
void EndCompanion(void);
// Returns when all other threads of this process wait, among them the one that said so in `about_to_wait`.
void AwaitWaiting(const volatile int* about_to_wait);

// filter.c: a seccomp filter that refuses all but what FIRST_OP_ALLOW lists. Without it, the system calls that are made
// from then on are listed at the end.
int LearnSystemCalls(int (*run)(const char* name), const char* name);
void Confine(int every_thread);

#endif  // TEST_PROGRAMS_FIRST_OP_CONTEXTS_H_
