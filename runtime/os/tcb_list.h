// SPDX-License-Identifier: Apache-2.0
// libc's list of the threads on stacks that it did not make (GL(dl_stack_user)). When a library with static TLS
// (initial-exec) is loaded, ld.so writes its image into every thread that libc's lists have (elf/dl-tls.c,
// _dl_init_static_tls), before its constructors run: there is no other moment at which that could be done. So our TCBs
// are there, too, as long as their memory exists, whether a thread lives in them or not.
//
// What else walks the list: set*id, which signals the thread ids that it finds (ours exist nowhere; the TCB of a wired
// thread has a kernel thread's id and must not be there, for the kernel thread's own is; thread/credentials.h says how
// it is with main), fork's child, which forgets all but its own, and debuggers.
//
// The lock that walkers hold is not known. But nobody else adds or removes anything, for pthread_create with a stack of
// the program's is ours; and a walker goes forward only, along links that are written last, and may stand on what is
// being taken off. So the way on from there stays, and memory is given back only when every walk that had begun is over
// (tcb_list_settle): libc's pthread_create takes that lock and gives it up again.
//
// Rejected: to add them around dlopen only: a dlopen of ours would be the caller whose RUNPATH ld.so obeys, and libc's
// own calls would not be seen.
#pragma once

namespace mn {

// On main, before there are others. If the list is not as expected it is not known, and the rest does nothing.
void tcb_list_find();
bool tcb_list_known();

// Inside. Puts one there that is not; takes one off that is.
void tcb_list_add(void* tcb);
void tcb_list_remove(void* tcb);
// Outside, where libc's and malloc's locks may be taken. Afterwards nobody looks at what was taken off before. False:
// the system grants no thread now, and nothing is known.
bool tcb_list_settle();

// By the thread that forks, before, and in the child, where only its TCB is on a list of libc's: fork() puts it there,
// or, after a fork by system call, the last of these does. The list may change meanwhile: the child takes its own node
// off and walks nowhere, and whatever is being put beside that or taken off there has memory.
void tcb_list_before_fork();
// `ours`: the TCB is ours, not one of a thread that libc made.
void tcb_list_reset_after_fork(bool ours);

}  // namespace mn
