// SPDX-License-Identifier: Apache-2.0
// What Linux keeps for each thread, and what becomes of it where threads move between kernel threads.
//
//   carried   the scheduler gives it to the next G at the switch, where the two differ
//   own       the thread that changes it becomes a kernel thread first (thread_wire), which ends with it and is never
//             used again: nothing leaks to another thread, or to a program that another thread runs later. Threads that
//             it makes are cloned from that kernel thread, and so inherit as natively
//   bound     the same, of what new threads do not inherit
//   process   Linux keeps it for all threads, or for their memory: nothing to be done
//   declined  the call fails as on a kernel that does not have it
//
//   state                                      how a program sets it                       here
//   registers, FS base, x87 and SSE control    instructions                                carried (arch/)
//   signal mask, alternate stack, pending      sigprocmask, sigaltstack, pthread_kill      carried (signal.cc)
//   name                                       PR_SET_NAME                                 the G's (misc.cc)
//   policy, priority, affinity                 pthread_*, sched_*                          own (policy.cc)
//   the same                                   sched_setattr, the system calls             own
//   nice, I/O priority, timer slack            setpriority, ioprio_set, PR_SET_TIMERSLACK  own
//   GS base, faults of CPUID and RDTSC         arch_prctl, PR_SET_TSC                      own
//   memory policy                              set_mempolicy                               own
//   personality, I/O ports                     personality, ioperm, iopl                   own
//   user and group ids, groups, capabilities   set*id by number, setfsuid, capset          own
//   the same                                   setuid and its family                       process (credentials.cc)
//   securebits, keepcaps, bounding, ambient    prctl                                       own
//   no_new_privs, seccomp, landlock, LSM       prctl, seccomp, landlock_restrict_self      own
//   seccomp with TSYNC                         seccomp                                     process
//   speculation, core scheduling, I/O flusher  prctl                                       own
//   thread and session keyrings                keyctl, add_key, request_key                own
//   namespaces, folder, descriptors            unshare, setns                              own
//   parent's death signal                      PR_SET_PDEATHSIG                            bound
//   parent of children, tracer                 fork, ptrace                                bound (children.h)
//   robust list, rseq, child tid               the system calls                            bound
//   io_uring's issuer, its registered rings    io_uring_setup and _register                bound
//   performance counters                       perf_event_open of oneself                  bound; own if inherited
//   timers' and files' signals for a thread    SIGEV_THREAD_ID, F_SETOWN_EX                bound
//   system call user dispatch                  prctl                                       bound
//   protection keys (PKRU)                     pkey_set, WRPKRU                            the kernel thread's: a gap
//   shadow stack                               ARCH_SHSTK_ENABLE                           declined: Gs' stacks switch
//   AMX permission                             ARCH_REQ_XCOMP_PERM                         process
//   address space, dumpable, THP, subreaper    prctl                                       process
//
// Before the first pthread_create main is the only thread, and what is its own all others inherit: nothing is done
// then, but that main stays on its kernel thread for what they do not. When all its threads have ended, main is alone
// again, and the runtime's helpers end, too, before main changes what would otherwise be its own (sched_stop): so
// unshare(CLONE_NEWUSER) works, and the process goes on M:N.
#pragma once

namespace mn {

enum class Kept { kProcess, kOwn, kBound, kDeclined };

// Of prctl's `option`; of the system call `nr` with its first five arguments, of which those that point to structures
// are read.
Kept prctl_kept(int option);
Kept arch_prctl_kept(long option);
Kept syscall_kept(long nr, const long args[5]);

// The calling thread is about to change what is kept so. Outside. 0, or the errno that the call ends with.
int keep_kernel_state(Kept kept);

// A thread that a system call names by `tid` is the caller, by 0 or by the number of the kernel thread that it is on.
bool names_caller(long tid);

}  // namespace mn
