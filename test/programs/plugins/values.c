// SPDX-License-Identifier: Apache-2.0
// A library with thread-local variables, of which SIZE bytes are large; built with several sizes and models of access.
#include <stdint.h>

#ifndef SIZE
#define SIZE 256
#endif

static __thread int number = 1234;
static __thread char large[SIZE];
static __thread char aligned[64] __attribute__((aligned(64))) = "as it was linked";

// The thread's own number, 1234 at first.
int* ValuesNumber(void) {
  return &number;
}

char* ValuesLarge(unsigned* size) {
  *size = sizeof large;
  return large;
}

// Begins at a multiple of 64, with a text of the library's.
char* ValuesAligned(void) {
  return aligned;
}
