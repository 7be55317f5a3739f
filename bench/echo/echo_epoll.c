// SPDX-License-Identifier: Apache-2.0
// Echo server of one thread and epoll: the yardstick, what a program costs that was written around its waits.
#include <sys/epoll.h>

#include "echo.h"

enum { kEvents = 512 };

static void watch(int poller, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

// A request is smaller than what a socket's buffer holds, and its client sends the next only after the answer.
static void serve(int fd) {
  char data[kRequestSize];
  const ssize_t got = recv(fd, data, sizeof data, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0 || send(fd, data, (size_t)got, MSG_NOSIGNAL) != got) close(fd);
}

static void take(int poller, int listener) {
  const int fd = accept(listener, NULL, NULL);
  if (fd < 0) fail("accept");
  send_at_once(fd);
  watch(poller, fd);
}

int main(void) {
  const int poller = epoll_create1(0);
  if (poller < 0) fail("epoll_create1");
  const int listener = listen_and_say();
  watch(poller, listener);
  watch(poller, STDIN_FILENO);
  for (;;) {
    struct epoll_event events[kEvents];
    const int n = epoll_wait(poller, events, kEvents, -1);
    if (n < 0) fail("epoll_wait");
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) return 0;
      if (fd == listener)
        take(poller, listener);
      else
        serve(fd);
    }
  }
}
