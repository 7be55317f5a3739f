// SPDX-License-Identifier: Apache-2.0
// The thread dump: each thread of the program, what it does or waits for and since when, and its stack.
#pragma once

namespace mn {

struct DumpRequest {
  const char* why;
  // Threads that sleep in system calls may be made to answer, at the price of an EINTR; otherwise less is known of
  // their stacks.
  bool may_interrupt;
  int interrupted = 0;  // the kernel thread that took the signal and sleeps in its handler; 0: none does
};

// Prints all threads on the calling thread, which is the observer. The program goes on meanwhile: each thread is shown
// as it was at some moment, not all at the same.
void dump_threads(const DumpRequest& request);

}  // namespace mn
