// SPDX-License-Identifier: Apache-2.0
// inject LIBRARY NUMBER ERRNO FIRST COUNT PROGRAM [ARGUMENT...]: runs a program, and refuses system calls of that
// number that code of LIBRARY makes (a file's name, without folders), from the FIRST one on (1 is the first), COUNT of
// them (0: all). What the program and libc call goes through. Ends as the program does; 120 if it cannot do its work.
//
// The calls come here by seccomp's user notification, with the instruction's address; /proc/PID/maps says whose that
// is. Processes that the program makes are treated alike, and counted together.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kCannot = 120 };

static void give_up(const char* what) {
  perror(what);
  exit(kCannot);
}

static const char* library;
static long number, refusal, first, count;
static volatile int listener = -1;
static char** program;

static int start(void* unused) {
  (void)unused;
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog all = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(kCannot);
  // The parent shares memory and descriptors, until execve().
  listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &all);
  if (listener < 0) _exit(kCannot);
  execv(program[0], program);
  _exit(kCannot);
}

// Whether the address is in the library, in that process.
static int is_the_librarys(pid_t process, uint64_t address) {
  char path[64], line[4096];
  snprintf(path, sizeof path, "/proc/%d/maps", process);
  FILE* maps = fopen(path, "re");
  if (maps == NULL) return 0;
  int found = 0;
  while (!found && fgets(line, sizeof line, maps) != NULL) {
    uint64_t low, high;
    if (sscanf(line, "%lx-%lx", &low, &high) != 2 || address < low || address >= high) continue;
    const char* name = strrchr(line, '/');
    found = name != NULL && strncmp(name + 1, library, strlen(library)) == 0;
    break;
  }
  fclose(maps);
  return found;
}

static void answer_one(void) {
  static long seen = 0;
  struct seccomp_notif call;
  memset(&call, 0, sizeof call);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;  // it was interrupted, or has ended
  struct seccomp_notif_resp answer = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  if (is_the_librarys((pid_t)call.pid, call.data.instruction_pointer)) {
    ++seen;
    if (seen >= first && (count == 0 || seen < first + count)) {
      answer.flags = 0;
      answer.error = (int)-refusal;
    }
  }
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

int main(int argc, char** argv) {
  if (argc < 7) {
    fprintf(stderr, "inject LIBRARY NUMBER ERRNO FIRST COUNT PROGRAM [ARGUMENT...]\n");
    return kCannot;
  }
  library = argv[1];
  number = atol(argv[2]);
  refusal = atol(argv[3]);
  first = atol(argv[4]);
  count = atol(argv[5]);
  program = argv + 6;
  static char stack[1 << 16] __attribute__((aligned(16)));
  // What the filter is for may be a call that execve() needs, so the parent goes on meanwhile.
  const pid_t child = clone(start, stack + sizeof stack, CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
  if (child < 0) give_up("inject: clone");
  int status;
  while (listener < 0) {
    if (waitpid(child, &status, WNOHANG) == child) return kCannot;
    usleep(100);
  }
  for (;;) {
    struct pollfd ready = {listener, POLLIN, 0};
    if (poll(&ready, 1, 10) > 0 && (ready.revents & POLLIN) != 0) answer_one();
    // Its children, if it leaves any, are not waited for.
    if (waitpid(child, &status, WNOHANG) == child) break;
  }
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
  }
  return WEXITSTATUS(status);
}
