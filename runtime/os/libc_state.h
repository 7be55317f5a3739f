// SPDX-License-Identifier: Apache-2.0
// What libc keeps for each thread beside what tcb.h makes: in its own TLS segment (errno, the locale, caches of malloc
// and of the loader, ...) and in struct pthread (the resolver's state, buffers of messages). One TCB serves many
// threads, one after the other, and each of them must find what a new thread finds:
//
//   in libc's TLS segment       the image of the segment, for each thread; __resp points to the TCB's own resolver
//                               state. malloc's words stay for the next thread: its cache and its arena, which glibc
//                               frees by a function that it does not export
//   hung there by a function    freed when the thread ends, as __libc_thread_freeres does (libc_state_end)
//   the kernel's random state   stays (getrandom_buf, since glibc 2.41), for it can only be given back by libc
//   Sun RPC's variables         forgotten, with their memory: only programs that were linked before 2.32 have any
//
// Which words are malloc's, and where struct pthread has the rest, is found out in a thread that libc made.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mn {

// What the next thread in a TCB takes over from the last one.
struct LibcKept {
  static constexpr size_t kMost = 4;
  uintptr_t words[kMost] = {};
  uintptr_t random = 0;
};

// On main, before there are other threads. False: something that must be known is not where expected.
bool libc_state_find();
// On a thread that libc made and that has done nothing yet; once. `stackblock`: where its TCB has its stack's bounds.
void libc_state_learn(size_t stackblock);

LibcKept libc_state_kept(const void* tcb);
// The thread has not begun; its TLS is that of the last one, or fresh.
void libc_state_begin(void* tcb, const LibcKept& kept);
// The same where all of it is the last one's.
void libc_state_begin_again(void* tcb);
// The last use of it by the calling thread, except by malloc. Outside.
void libc_state_end();

}  // namespace mn
