// SPDX-License-Identifier: Apache-2.0
// A program with functions of its own in place of libc's, which call what comes next: Erlang's sigaction does so. What
// a library calls itself stays its own.
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void Check(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static _Atomic int calls;

#define NEXT(result, name, parameters, arguments)                 \
  result name parameters {                                        \
    ++calls;                                                      \
    result(*next) parameters = (result(*) parameters)Next(#name); \
    return next arguments;                                        \
  }

static void* Next(const char* name) {
  // Of sigaction it is the other name, as in Erlang.
  void* next = dlsym(RTLD_NEXT, name[0] == 's' ? "__sigaction" : name);
  Check(next != NULL, name);
  return next;
}

NEXT(int, sigaction, (int sig, const struct sigaction* action, struct sigaction* old), (sig, action, old))
NEXT(ssize_t, read, (int fd, void* to, size_t size), (fd, to, size))
NEXT(ssize_t, recv, (int fd, void* to, size_t size, int flags), (fd, to, size, flags))
NEXT(int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
NEXT(pid_t, waitpid, (pid_t pid, int* status, int flags), (pid, status, flags))
NEXT(int, pipe2, (int fds[2], int flags), (fds, flags))

ssize_t __read_chk(int fd, void* to, size_t size, size_t room);
ssize_t __recv_chk(int fd, void* to, size_t size, size_t room, int flags);
int __poll_chk(struct pollfd* fds, nfds_t n, int ms, size_t room);

static _Atomic int handled;
static void Count(int sig) {
  (void)sig;
  ++handled;
}

static void* Use(void* unused) {
  char byte;
  int fds[2], pair[2];
  struct sigaction action = {.sa_handler = Count};
  int before = calls;
  Check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
  Check(calls == ++before, "its own sigaction");
  Check(raise(SIGUSR1) == 0 && handled == 1, "handler");
  Check(signal(SIGUSR1, SIG_IGN) == Count, "signal");
  Check(pipe(fds) == 0 && write(fds[1], "abc", 3) == 3, "pipe");
  struct pollfd ready = {.fd = fds[0], .events = POLLIN};
  Check(__poll_chk(&ready, 1, -1, sizeof ready) == 1, "__poll_chk");
  Check(__read_chk(fds[0], &byte, 1, 1) == 1 && byte == 'a', "__read_chk");
  Check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[1], "x", 1) == 1, "socketpair");
  Check(__recv_chk(pair[0], &byte, 1, 1, 0) == 1 && byte == 'x', "__recv_chk");
  pid_t child = fork();
  if (child == 0) _exit(7);
  int status;
  Check(wait(&status) == child && WEXITSTATUS(status) == 7, "wait");
  Check(calls == before, "what libraries call is theirs");
  Check(poll(&ready, 1, -1) == 1 && read(fds[0], &byte, 1) == 1 && byte == 'b', "poll and read");
  Check(calls == before + 2, "its own poll and read");
  return unused;
}

int main(void) {
  pthread_t thread;
  Check(pthread_create(&thread, NULL, Use, NULL) == 0, "pthread_create");
  Check(pthread_join(thread, NULL) == 0, "pthread_join");
  return 0;
}
