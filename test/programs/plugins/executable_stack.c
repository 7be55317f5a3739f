// SPDX-License-Identifier: Apache-2.0
// Says that it needs executable stacks (see the Makefile). Loaded by executable_stacks.c.
int executable_stack_plugin(void);
int executable_stack_plugin(void) {
  return 1;
}
