// SPDX-License-Identifier: Apache-2.0
// A thread is cancelled as it begins to wait, or while it waits, and right afterwards what it waits for happens: the
// other end is closed, or sends. It was cancelled first, so it must not return. Writes how many did.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { kRounds = 200 };

static int mine, other;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char buf[100000];
static struct iovec iov = {buf, 1};
static struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

static void open_pipe(void) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  mine = ends[0], other = ends[1];
}
static void open_full_pipe(void) {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK) != 0) abort();
  while (write(ends[1], buf, sizeof buf) > 0) {
  }
  fcntl(ends[1], F_SETFL, 0);
  mine = ends[1], other = ends[0];
}
static void open_sockets(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
  mine = ends[0], other = ends[1];
}
static void open_full_sockets(void) {
  open_sockets();
  while (send(mine, buf, sizeof buf, MSG_DONTWAIT) > 0 || send(mine, buf, 1, MSG_DONTWAIT) > 0) {
  }
}
static void open_terminal(void) {
  mine = -1;
  other = posix_openpt(O_RDWR | O_NOCTTY);
  if (other >= 0 && grantpt(other) == 0 && unlockpt(other) == 0) mine = open(ptsname(other), O_RDWR | O_NOCTTY);
  if (mine < 0) abort();
}
static void open_listener(void) {
  static int number;
  mine = socket(AF_UNIX, SOCK_STREAM, 0);
  other = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "libmn before close %d %d", getpid(), ++number);
  if (bind(mine, (struct sockaddr*)&address, sizeof address) != 0 || listen(mine, 5) != 0) abort();
}

static void close_it(void) {
  close(other);
}
static void send_and_close(void) {
  if (write(other, "x\n", 2) != 2) abort();
  close(other);
}
static void connect_and_close(void) {
  if (connect(other, (struct sockaddr*)&address, sizeof address) != 0) abort();
  close(other);
}

static struct pollfd fd_of(short events) {
  return (struct pollfd){mine, events, 0};
}
static fd_set set_of(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(mine, &set);
  return set;
}
static int wait_by_epoll(void) {
  static int epoll;
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll == 0) epoll = epoll_create1(0);
  epoll_ctl(epoll, EPOLL_CTL_ADD, mine, &event);
  return epoll_wait(epoll, &event, 1, -1);
}

// CASE(name, how it is opened, what is called, what happens)
#define ALL                                                                                                    \
  CASE(read_of_a_pipe, open_pipe, read(mine, buf, 1), close_it)                                                \
  CASE(read_of_a_pipe_that_is_written, open_pipe, read(mine, buf, 1), send_and_close)                          \
  CASE(readv_of_a_pipe, open_pipe, readv(mine, &iov, 1), close_it)                                             \
  CASE(read_of_a_socket, open_sockets, read(mine, buf, 1), close_it)                                           \
  CASE(read_of_a_terminal, open_terminal, read(mine, buf, 1), close_it)                                        \
  CASE(read_of_a_terminal_that_is_written, open_terminal, read(mine, buf, 1), send_and_close)                  \
  CASE(recv, open_sockets, recv(mine, buf, 1, 0), close_it)                                                    \
  CASE(recv_of_what_is_sent, open_sockets, recv(mine, buf, 1, 0), send_and_close)                              \
  CASE(recvfrom, open_sockets, recvfrom(mine, buf, 1, 0, NULL, NULL), close_it)                                \
  CASE(recvmsg, open_sockets, recvmsg(mine, &message, 0), close_it)                                            \
  CASE(recvmmsg, open_sockets, recvmmsg(mine, (struct mmsghdr[]){{.msg_hdr = message}}, 1, 0, NULL), close_it) \
  CASE(write_to_a_pipe, open_full_pipe, write(mine, buf, 1), close_it)                                         \
  CASE(writev_to_a_pipe, open_full_pipe, writev(mine, &iov, 1), close_it)                                      \
  CASE(write_to_a_socket, open_full_sockets, write(mine, buf, 1), close_it)                                    \
  CASE(send, open_full_sockets, send(mine, buf, 1, 0), close_it)                                               \
  CASE(sendto, open_full_sockets, sendto(mine, buf, 1, 0, NULL, 0), close_it)                                  \
  CASE(sendmsg, open_full_sockets, sendmsg(mine, &message, 0), close_it)                                       \
  CASE(poll, open_pipe, poll((struct pollfd[]){fd_of(POLLIN)}, 1, -1), close_it)                               \
  CASE(poll_for_room, open_full_pipe, poll((struct pollfd[]){fd_of(POLLOUT)}, 1, -1), close_it)                \
  CASE(ppoll, open_pipe, ppoll((struct pollfd[]){fd_of(POLLIN)}, 1, NULL, NULL), close_it)                     \
  CASE(select, open_pipe, select(mine + 1, (fd_set[]){set_of()}, NULL, NULL, NULL), close_it)                  \
  CASE(pselect, open_pipe, pselect(mine + 1, (fd_set[]){set_of()}, NULL, NULL, NULL, NULL), close_it)          \
  CASE(epoll_wait, open_pipe, wait_by_epoll(), close_it)                                                       \
  CASE(accept, open_listener, accept(mine, NULL, NULL), connect_and_close)                                     \
  CASE(accept4, open_listener, accept4(mine, NULL, NULL, 0), connect_and_close)

#define CASE(name, open_it, call, happens) of_##name,
enum { ALL kCases };
#undef CASE
static const struct {
  const char* name;
  void (*open_it)(void);
  void (*happens)(void);
} cases[] = {
#define CASE(name, open_it, call, happens) {#name, open_it, happens},
    ALL
#undef CASE
};

static int which;
static atomic_int began;

static void* wait_for_it(void* returned) {
  began = 1;
  switch (which) {
#define CASE(name, open_it, call, happens) \
  case of_##name:                          \
    (void)!(call);                         \
    break;
    ALL
#undef CASE
  }
  return returned;
}

static int returns(int round) {
  pthread_t thread;
  void* end = NULL;
  cases[which].open_it();
  began = 0;
  pthread_create(&thread, NULL, wait_for_it, &end);
  while (!began) sched_yield();
  for (volatile int i = 0; i < round % 50 * 200; ++i) {
  }
  pthread_cancel(thread);
  cases[which].happens();
  pthread_join(thread, &end);
  close(mine);
  return end != PTHREAD_CANCELED;
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  for (which = 0; which < kCases; ++which) {
    int returned = 0;
    for (int round = 0; round < kRounds; ++round) returned += returns(round);
    printf("%s: %d of %d returned\n", cases[which].name, returned, kRounds);
  }
  return 0;
}
