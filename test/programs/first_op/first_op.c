// SPDX-License-Identifier: Apache-2.0
// Calls one function of the pthread API in one context (contexts.c), checks what it did and says what it returned.
// usage: first_op CONTEXT NAME | first_op list | first_op contexts
//        FIRST_OP=NAME first_op ctor NAME    the constructor is in first_op_ctor.so
//        first_op learn:CONTEXT NAME         the last line lists the system calls that it makes (filter.c)
// Exit status 0: all was as it should be. run.py runs every case, natively and under libmn, and compares.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "contexts.h"

static const struct Family* const kFamilies[] = {
    &kThreadFamily, &kDataFamily,    &kLockFamily, &kSemFamily,    &kC11Family,     &kProcessFamily,
    &kSignalFamily, &kSyscallFamily, &kIoFamily,   &kKernelFamily, &kTrafficFamily,
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
    Say("absent");
    return 0;
  }
  found->body(function);
  return 0;
}

static const struct Context* ContextOf(const char* name) {
  for (size_t i = 0; i < kContextCount; ++i) {
    if (strcmp(kContexts[i].name, name) == 0) return &kContexts[i];
  }
  return NULL;
}

int main(int argc, char** argv) {
  static const char kLearn[] = "learn:";
  if (argc == 2 && strcmp(argv[1], "list") == 0) {
    for (size_t f = 0; f < kFamilyCount; ++f) {
      for (size_t i = 0; i < kFamilies[f]->count; ++i) puts(kFamilies[f]->cases[i].name);
    }
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "contexts") == 0) {
    for (size_t i = 0; i < kContextCount; ++i) puts(kContexts[i].name);
    return 0;
  }
  if (argc != 3) return 2;
  const int learns = strncmp(argv[1], kLearn, sizeof kLearn - 1) == 0;
  const struct Context* context = ContextOf(argv[1] + (learns ? sizeof kLearn - 1 : 0));
  if (context == NULL) return 2;
  return learns ? LearnSystemCalls(context->run, argv[2]) : context->run(argv[2]);
}
