// SPDX-License-Identifier: Apache-2.0
// What first_op and the library whose constructor makes the first call share.
#ifndef TEST_PROGRAMS_FIRST_OP_FIRST_OP_H_
#define TEST_PROGRAMS_FIRST_OP_FIRST_OP_H_

// What a thread whose first operation is to exit gives to the one that joins it.
#define FIRST_OP_RESULT 31

// Runs the case of that name: 0, or 2 if there is none. Ends the program if the case fails.
// The program exports it (-rdynamic), the library's constructor calls it.
int FirstOp(const char* name);

// What FirstOp() gave to the library's constructor, 2 if it was not called.
int FirstOpCtorStatus(void);

#endif  // TEST_PROGRAMS_FIRST_OP_FIRST_OP_H_
