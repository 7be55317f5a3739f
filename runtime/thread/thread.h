// SPDX-License-Identifier: Apache-2.0
// Threads as Gs: what the shim's pthread_create, join and so on are made of. All functions run outside libmn and return
// errno values as glibc's do. A pthread_t is the address of a TCB, libc's or ours; thread_g() tells which.
#pragma once

#include <pthread.h>

#include "runtime/os/clock.h"
#include "runtime/sched/g.h"

namespace mn {

// Bits of G::life. kDetached: nobody will join; may be set once by anyone, never cleared. kDead: the program's part is
// over, the stack is free and `result` may be taken; set by the successor. kReaped: joined, the slot may be anybody's.
// Written under the lock of the bucket of &G::life.
enum Life : uint32_t { kDetached = 1, kDead = 2, kReaped = 4 };

// The G of a thread that runs on the scheduler (main's included); null for threads that libc made and runs.
G* thread_g(pthread_t t);

int thread_create(pthread_t* out, const pthread_attr_t* attr, void* (*start)(void*), void* arg);

inline pthread_t thread_of(const G* g) {
  return reinterpret_cast<pthread_t>(g->tp);
}

// Whether g's thread has ended and only waits to be joined.
inline bool ended(const G* g) {
  return (g->life.load(std::memory_order_relaxed) & kDead) != 0;
}

// Adopts the caller if need be and returns its G.
G* self_g();

// try_only: EBUSY unless it has ended.
int thread_join(pthread_t t, void** result, const Deadline& deadline, bool try_only);
int thread_detach(pthread_t t);
[[noreturn]] void thread_exit(void* result);
// As the kernel's exit: no destructors, no clean-up handlers; the status is the process's if this is the last thread.
[[noreturn]] void thread_exit_raw(int status);
int thread_cancel(pthread_t t);
// Acts on a cancellation of the calling thread, if there is one and it is enabled. Outside.
void cancellation_point();
// At the end of a call that is one, and may have had no occasion to look since it began. `result`: what it has done.
void cancellation_point_after(long result);

int thread_getattr(pthread_t t, pthread_attr_t* attr);
int thread_setname(pthread_t t, const char* name);
int thread_getname(pthread_t t, char* buf, size_t size);
// As prctl: cut to 15 characters; EFAULT.
int thread_set_own_name(const char* name);
int thread_get_own_name(char* name);

// CLOCK_MONOTONIC or CLOCK_REALTIME. 0, ETIMEDOUT never; EINTR with what is left of a relative sleep to be computed by
// the caller.
int thread_sleep(const Deadline& deadline);
void thread_yield();

void threads_init();

// Threads created so far, main and kernel threads not counted.
uint64_t threads_created();
// Threads of the program that have not ended, main not counted. Exact when it is 0.
int64_t threads_alive();
// Threads that no P counts: created or ended by a thread without one.
void count_kernel_thread(int delta);

// Shim-level key functions: libc keeps the values, which live in the TCB; we run the destructors of Gs.
int key_create(pthread_key_t* key, void (*destructor)(void*));
int key_delete(pthread_key_t key);
void run_key_destructors();

void adopt_init();
// Adopted threads but the first of the process: their Gs, which stay memory for ever, up to `most` of them; how many
// there are.
size_t adopted_threads(G** out, size_t most);
void adopted_forget_after_fork();

}  // namespace mn
