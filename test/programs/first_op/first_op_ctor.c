// SPDX-License-Identifier: Apache-2.0
// A library whose constructor makes the call named in FIRST_OP, before main and most constructors.
#include <stdlib.h>

#include "first_op.h"

static int status = 2;

__attribute__((constructor)) static void Construct(void) {
  const char* name = getenv("FIRST_OP");
  if (name != NULL) status = FirstOp(name);
}

int FirstOpCtorStatus(void) {
  return status;
}
