// SPDX-License-Identifier: Apache-2.0
// Confinement that is as narrow as can be: what the case needs natively is learned from a native run, in which another
// process is asked about every system call and lets it go on; then a filter refuses everything else with EPERM, in a
// native run, which is the oracle, and under libmn.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contexts.h"

enum { kSystemCalls = 512 };

// Shared with the process that learns; null in one that is confined.
static struct Learned {
  volatile int listener;  // the number that it will have in the child; 0: not yet
  unsigned char made[kSystemCalls];
} * learned;

static int Seccomp(unsigned operation, unsigned flags, void* argument) {
  return (int)syscall(SYS_seccomp, operation, flags, argument);
}

static void RefuseAllBut(const char* allowed, unsigned flags) {
  struct sock_filter program[2 * kSystemCalls];
  unsigned short size = 0;
  program[size++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (char* end; *allowed != '\0'; allowed = *end == ',' ? end + 1 : end) {
    const unsigned number = (unsigned)strtoul(allowed, &end, 10);
    if (end == allowed || size > kSystemCalls) abort();
    program[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    program[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  program[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  const struct sock_fprog filter = {size, program};
  CHECK(Seccomp(SECCOMP_SET_MODE_FILTER, flags, (void*)&filter) == 0);
}

static void Learn(unsigned flags) {
  struct sock_filter program[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
  const struct sock_fprog filter = {1, program};
  if (flags != 0) flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  const int next = dup(STDIN_FILENO);
  close(next);
  learned->listener = next;
  CHECK(Seccomp(SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, (void*)&filter) == next);
}

void Confine(int every_thread) {
  const unsigned flags = every_thread ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  if (learned != NULL) {
    Learn(flags);
  } else {
    RefuseAllBut(getenv("FIRST_OP_ALLOW"), flags);
  }
}

// Lets every system call of the child go on, until nobody is left who could make one.
static void LetGoOn(int listener) {
  for (;;) {
    struct pollfd poller = {listener, POLLIN, 0};
    if (poll(&poller, 1, -1) == -1 || (poller.revents & POLLIN) == 0) return;
    struct seccomp_notif request;
    memset(&request, 0, sizeof request);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) == -1) continue;  // it was killed meanwhile
    if ((unsigned)request.data.nr < kSystemCalls) learned->made[request.data.nr] = 1;
    struct seccomp_notif_resp answer = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}

int LearnSystemCalls(int (*run)(const char* name), const char* name) {
  learned = mmap(NULL, sizeof *learned, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(learned != MAP_FAILED);
  learned->made[SYS_futex] = 1;  // whether a lock is contended is chance
  learned->made[SYS_write] = 1;  // for what is said, also by libmn at the end
  const pid_t child = fork();
  CHECK(child != -1);
  if (child == 0) exit(run(name));
  const int handle = (int)syscall(SYS_pidfd_open, child, 0);
  int listener = -1;
  for (siginfo_t info = {0}; listener == -1 && info.si_pid == 0; usleep(100)) {
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT);
    if (learned->listener != 0) listener = (int)syscall(SYS_pidfd_getfd, handle, learned->listener, 0);
    if (listener == -1 && learned->listener != 0 && errno != EBADF) kill(child, SIGKILL);  // this cannot be had here
  }
  if (listener != -1) LetGoOn(listener);
  const int status = WaitForStatus(child);
  for (int number = 0; number < kSystemCalls; ++number) {
    if (learned->made[number]) printf("%d,", number);
  }
  printf("\n");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
