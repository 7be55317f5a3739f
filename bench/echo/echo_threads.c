// SPDX-License-Identifier: Apache-2.0
// Echo server with a thread for each connection, all calls blocking: what libmn is for.
#include <pthread.h>

#include "echo.h"

static void* serve(void* argument) {
  const int fd = (int)(long)argument;
  char data[kRequestSize];
  ssize_t got;
  while ((got = recv(fd, data, sizeof data, 0)) > 0) {
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t n = send(fd, data + sent, (size_t)(got - sent), MSG_NOSIGNAL);
      if (n < 0) goto done;
      sent += n;
    }
  }
done:
  close(fd);
  return NULL;
}

static void* await_end(void* argument) {
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  exit(0);
  return argument;
}

int main(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  const int listener = listen_and_say();
  errno = pthread_create(&thread, &attributes, await_end, NULL);
  if (errno != 0) fail("pthread_create");
  for (;;) {
    const int fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    send_at_once(fd);
    errno = pthread_create(&thread, &attributes, serve, (void*)(long)fd);
    if (errno != 0) fail("pthread_create");
  }
}
