// SPDX-License-Identifier: Apache-2.0
// libc's list of the threads on stacks that it did not make (GL(dl_stack_user)). When a library with static TLS
// (initial-exec) is loaded, ld.so writes its image into every thread that libc's lists have (elf/dl-tls.c,
// _dl_init_static_tls), before its constructors run: there is no other moment at which that could be done. So our TCBs
// are there, too, as long as their memory exists, whether a thread lives in them or not.
//
// What else walks the list: set*id, which signals the thread ids that it finds (ours exist nowhere; a TCB that has a
// kernel thread's id, of a wired thread, must not be there, for the kernel thread's own is), fork's child, which
// forgets all but its own, and debuggers. libc's lock is not known; but nobody else adds or removes anything, for
// pthread_create with a stack of the program's is ours, and who only reads goes forward along links that are written
// last.
//
// Rejected: to add them around dlopen only: a dlopen of ours would be the caller whose RUNPATH ld.so obeys, and libc's
// own calls would not be seen.
#pragma once

namespace mn {

// On main, before there are others. If the list is not as expected, the rest does nothing.
void tcb_list_find();

// Inside; one TCB that is not there, or is.
void tcb_list_add(void* tcb);
void tcb_list_remove(void* tcb);

// Around fork. In the child only the TCB of the thread that forked is on a list of libc's: fork() puts it there, or,
// after a fork by system call, this does.
void tcb_list_lock();
void tcb_list_unlock();
void tcb_list_reset_after_fork();

}  // namespace mn
