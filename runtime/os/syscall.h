// SPDX-License-Identifier: Apache-2.0
// Raw system calls. They set no errno, are no cancellation points and touch no libc lock, so that they work in any
// scheduling path, in a G, on g0 and before libc is up. Result: as the kernel gives it, errors as -errno in [-4095,
// -1].
#pragma once

#include <signal.h>
#include <sys/syscall.h>

#include <cstdint>

namespace mn {

#if defined(__x86_64__)
inline long raw_syscall(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long ret;
  __asm__ volatile("syscall"
                   : "=a"(ret)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return ret;
}
// With the stack pointer at `sp` meanwhile, where nothing is written: all signals are blocked.
inline long syscall_off_stack(void* sp, long nr, long a) {
  long ret;
  __asm__ volatile(
      "xchgq %%rsp, %[sp]\n\t"
      "syscall\n\t"
      "xchgq %%rsp, %[sp]"
      : "=a"(ret), [sp] "+r"(sp)
      : "a"(nr), "D"(a), "S"(0)
      : "rcx", "r11", "memory");
  return ret;
}
#else
#error "libmn knows system calls of x86-64 only"
#endif

template <class T>
inline long sys_arg(T* p) {
  return reinterpret_cast<long>(p);
}

inline void write_stderr(const char* data, unsigned long size) {
  raw_syscall(SYS_write, 2, sys_arg(data), static_cast<long>(size));
}

inline int sys_gettid() {
  return static_cast<int>(raw_syscall(SYS_gettid));
}
inline int sys_getpid() {
  return static_cast<int>(raw_syscall(SYS_getpid));
}
// The calling kernel thread does not block the signal from now on.
inline void sys_open_signal(int sig) {
  unsigned long bit = 1ul << (sig - 1);
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, sys_arg(&bit), 0, sizeof bit);
}

}  // namespace mn
