// SPDX-License-Identifier: Apache-2.0
// What a case came to, on stdout: run.py compares it with the native run's. Written by a system call of its own, for
// write() is a function under test and a cancellation point.
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include "cases.h"

static long RawWrite(int fd, const char* text, size_t size) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_write), "D"(fd), "S"(text), "d"(size) : "rcx", "r11", "memory");
  return result;
}

void Say(const char* format, ...) {
  const int error = errno;
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (size > (int)sizeof line - 2) size = sizeof line - 2;
  line[size++] = '\n';
  RawWrite(STDOUT_FILENO, line, (size_t)size);
  errno = error;
}

void SayResult(long result, int error) {
  if (error == kUntouched) {
    Say("  %ld", result);
  } else {
    Say("  %ld, errno %d", result, error);
  }
}
