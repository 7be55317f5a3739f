// SPDX-License-Identifier: Apache-2.0
// Calls one function of the pthread API as the first thing that the program, a thread or a library's
// constructor does, checks what it did, then sees that threads still work.
// usage: first_op main NAME | first_op thread NAME | first_op list
//        FIRST_OP=NAME first_op ctor NAME    the constructor is in first_op_ctor.so
// Exit status 0: all was as it should be. run.py runs every case, natively and under libmn.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"

static const struct Family* const kFamilies[] = {
    &kThreadFamily,  &kDataFamily,   &kLockFamily,    &kSemFamily, &kC11Family,
    &kProcessFamily, &kSignalFamily, &kSyscallFamily, &kIoFamily,
};
enum { kFamilyCount = sizeof kFamilies / sizeof kFamilies[0] };

// Old names have old versions only, which plain dlsym() does not see.
static Function Find(const char* name) {
  static const char* const kVersions[] = {"GLIBC_2.2.5", "GLIBC_2.2.6", "GLIBC_2.17", "GLIBC_2.34", "GLIBC_PRIVATE"};
  void* symbol = dlsym(RTLD_DEFAULT, name);
  for (size_t i = 0; symbol == NULL && i < sizeof kVersions / sizeof kVersions[0]; ++i) {
    symbol = dlvsym(RTLD_DEFAULT, name, kVersions[i]);
  }
  Function function;
  memcpy(&function, &symbol, sizeof function);
  return function;
}

static const struct Case* CaseOf(const char* name) {
  for (size_t f = 0; f < kFamilyCount; ++f) {
    for (size_t i = 0; i < kFamilies[f]->count; ++i) {
      if (strcmp(kFamilies[f]->cases[i].name, name) == 0) return &kFamilies[f]->cases[i];
    }
  }
  return NULL;
}

int FirstOp(const char* name) {
  const struct Case* found = CaseOf(name);
  if (found == NULL) {
    fprintf(stderr, "first_op: no case for %s\n", name);
    return 2;
  }
  Function function = found->function;
  if (function == NULL) function = Find(name);
  if (function == NULL) {
    puts("absent");
    return 0;
  }
  found->body(function);
  return 0;
}

static void* FirstOpInThread(void* name) {
  return (void*)(long)FirstOp(name);
}

// Whatever came first, threads work.
static void SeeThatThreadsWork(void) {
  struct Handover handover = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, HandOver, &handover) == 0);
  CHECK(pthread_mutex_lock(&handover.mutex) == 0);
  while (!handover.ready) CHECK(pthread_cond_wait(&handover.cond, &handover.mutex) == 0);
  CHECK(pthread_mutex_unlock(&handover.mutex) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "list") == 0) {
    for (size_t f = 0; f < kFamilyCount; ++f) {
      for (size_t i = 0; i < kFamilies[f]->count; ++i) puts(kFamilies[f]->cases[i].name);
    }
    return 0;
  }
  if (argc != 3) return 2;
  int status = 0;
  if (strcmp(argv[1], "main") == 0) {
    status = FirstOp(argv[2]);
  } else if (strcmp(argv[1], "thread") == 0) {
    pthread_t thread;
    void* result = NULL;
    CHECK(pthread_create(&thread, NULL, FirstOpInThread, argv[2]) == 0);
    if (strcmp(argv[2], "pthread_detach:self") == 0) {
      usleep(5000);  // It cannot be joined.
    } else {
      CHECK(pthread_join(thread, &result) == 0);
      const int exits = strcmp(argv[2], "pthread_exit") == 0 || strcmp(argv[2], "thrd_exit") == 0;
      CHECK(!exits || result == (void*)FIRST_OP_RESULT);
      status = exits ? 0 : (int)(long)result;
    }
  } else if (strcmp(argv[1], "ctor") == 0) {
    status = FirstOpCtorStatus();
  } else {
    return 2;
  }
  SeeThatThreadsWork();
  return status;
}
