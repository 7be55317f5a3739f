// SPDX-License-Identifier: Apache-2.0
// What the echo servers and their load share: the size of a request, a listening socket on the loopback interface, and
// how a server's driver talks to it: it writes "port N" on stdout, and ends when its stdin does.
#ifndef LIBMN_BENCH_ECHO_ECHO_H_
#define LIBMN_BENCH_ECHO_ECHO_H_

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kRequestSize = 64, kBacklog = 4096 };

static inline void fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline void send_at_once(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("TCP_NODELAY");
}

static inline struct sockaddr_in loopback(int port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((unsigned short)port);
  return address;
}

// Listens on a free port and says which.
static inline int listen_and_say(void) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr*)&address, sizeof address) != 0 ||
      listen(listener, kBacklog) != 0 || getsockname(listener, (struct sockaddr*)&address, &size) != 0) {
    fail("listen");
  }
  printf("port %d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

#endif  // LIBMN_BENCH_ECHO_ECHO_H_
