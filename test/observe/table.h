// SPDX-License-Identifier: Apache-2.0
// The table by which tools look at libmn (runtime/observe/layout.cc), for programs that write into it; and texts that
// hold what no line of an argument or of input can.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
  char name[40];
  uint64_t size, value;
} Entry;

typedef struct {
  char magic[8];
  uint32_t version, entry_size;
  uint64_t count;
  Entry* entries;
} Head;

static inline void may_be_written(void* begin, size_t size) {
  uintptr_t low = (uintptr_t)begin & ~(uintptr_t)4095;
  if (mprotect((void*)low, (uintptr_t)begin + size - low, PROT_READ | PROT_WRITE) != 0) _exit(1);
}

// \e is escape and \n a new line; writes `most` bytes at most, and returns how many.
static inline size_t unescape(const char* text, char* out, size_t most) {
  size_t n = 0;
  for (; *text != '\0' && n < most; text++) {
    if (text[0] == '\\' && (text[1] == 'e' || text[1] == 'n'))
      out[n++] = *++text == 'e' ? '\033' : '\n';
    else
      out[n++] = *text;
  }
  return n;
}
