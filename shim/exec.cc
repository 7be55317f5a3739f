// SPDX-License-Identifier: Apache-2.0
// Functions that execute another program. (libc's call each other past us, so each is here.)
#include "runtime/thread/exec.h"

#include <stdarg.h>
#include <unistd.h>

#include "shim/shim.h"

using namespace mn;

namespace {

template <class Call>
int run(Call call) {
  return on() ? executed(call) : call();
}

// The arguments of a variadic one, after `first`: how many, the null at the end included.
size_t count(va_list list) {
  size_t n = 2;
  while (va_arg(list, char*) != nullptr) ++n;
  return n;
}
void collect(char** into, const char* first, va_list list) {
  *into = const_cast<char*>(first);
  while (*into != nullptr) *++into = va_arg(list, char*);
}

}  // namespace

MN_SHIM int execve(const char* path, char* const* arguments, char* const* environment) {
  return run([=] { return real.execve(path, arguments, environment); });
}
MN_SHIM int execv(const char* path, char* const* arguments) {
  return run([=] { return real.execve(path, arguments, environ); });
}
MN_SHIM int execvpe(const char* file, char* const* arguments, char* const* environment) {
  return run([=] { return real.execvpe(file, arguments, environment); });
}
MN_SHIM int execvp(const char* file, char* const* arguments) {
  return run([=] { return real.execvpe(file, arguments, environ); });
}
MN_SHIM int fexecve(int fd, char* const* arguments, char* const* environment) {
  return run([=] { return real.fexecve(fd, arguments, environment); });
}
MN_SHIM int execveat(int fd, const char* path, char* const* arguments, char* const* environment, int flags) {
  return run([=] { return real.execveat(fd, path, arguments, environment, flags); });
}

// As libc, they take no memory but the stack's, for they are async-signal-safe.
#define COLLECT(arguments, first)                                                        \
  va_list list;                                                                          \
  va_start(list, first);                                                                 \
  char** arguments = static_cast<char**>(__builtin_alloca(count(list) * sizeof(char*))); \
  va_end(list);                                                                          \
  va_start(list, first);                                                                 \
  collect(arguments, first, list)

MN_SHIM int execl(const char* path, const char* first, ...) {
  COLLECT(arguments, first);
  va_end(list);
  return execv(path, arguments);
}
MN_SHIM int execlp(const char* file, const char* first, ...) {
  COLLECT(arguments, first);
  va_end(list);
  return execvp(file, arguments);
}
MN_SHIM int execle(const char* path, const char* first, ...) {
  COLLECT(arguments, first);
  auto* environment = va_arg(list, char**);
  va_end(list);
  return execve(path, arguments, environment);
}
