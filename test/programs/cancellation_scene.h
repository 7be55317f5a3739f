// SPDX-License-Identifier: Apache-2.0
// What calls block on that are cancellation points: nothing is ever ready.
#pragma once

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <threads.h>

#include <string>

#include "never_ready.h"

const timespec kLong = {40, 0};

inline timespec Later(clockid_t clock) {
  timespec at;
  clock_gettime(clock, &at);
  at.tv_sec += 40;
  return at;
}

struct Scene : NeverReady {
  Scene() {
    Check(socketpair(AF_UNIX, SOCK_STREAM, 0, stuffed), "socketpair");
    while (send(stuffed[0], page, sizeof page, MSG_DONTWAIT) > 0) continue;
    Check(busy = socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    // Another listener, whose backlog is full: who connects waits.
    crowded = Listen(&crowd, &crowd_size);
    Check(connect(busy, reinterpret_cast<sockaddr*>(&crowd), crowd_size), "connect");
    Check(caller = socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    Check(packed = msgget(IPC_PRIVATE, 0600), "msgget");
    while (msgsnd(packed, &message, sizeof message.text, IPC_NOWAIT) == 0) continue;
    snprintf(path, sizeof path, "/tmp/mn-cancellation-%d-%p", getpid(), static_cast<void*>(this));
    Check(mkdir(path, 0700), "mkdir");
    fifo = std::string(path) + "/fifo";
    other_fifo = fifo + "2";
    Check(mkfifo(fifo.c_str(), 0600), "mkfifo");
    Check(mkfifo(other_fifo.c_str(), 0600), "mkfifo");
    Check(ftruncate(files[0], 4096), "ftruncate");
    messages = OpenQueue();
    Check(mq_send(messages, "", 1, 0), "mq_send");
    Check(terminal = posix_openpt(O_RDWR | O_NOCTTY), "posix_openpt");
    Expect((stream = fdopen(dup(empty[0]), "r")) != nullptr, "fdopen");
    Check(child = fork(), "fork");
    if (child == 0) {
      alarm(120);
      for (;;) pause();
    }
    for (pthread_t& sleeper : sleepers)
      Expect(pthread_create(&sleeper, nullptr, Sleep, nullptr) == 0, "pthread_create");
    iov.iov_base = page;
    iov.iov_len = 1;
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    many.msg_hdr = header;
  }
  ~Scene() {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (const pthread_t sleeper : sleepers) {
      pthread_cancel(sleeper);
      pthread_join(sleeper, nullptr);
    }
    msgctl(packed, IPC_RMID, nullptr);
    unlink(fifo.c_str());
    unlink(other_fifo.c_str());
    rmdir(path);
    fclose(stream);
    for (const int fd : {caller, stuffed[0], stuffed[1], busy, crowded, static_cast<int>(messages), terminal})
      close(fd);
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  static void* Sleep(void*) {
    for (;;) sleep(100);
  }

  char path[64];
  int stuffed[2], crowded, busy, caller, packed, terminal;
  mqd_t messages;
  struct {
    long type = 1;
    char text[4000] = {};
  } message;
  sockaddr_un crowd;
  socklen_t crowd_size;
  std::string fifo, other_fifo;
  FILE* stream;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pid_t child;
  pthread_t sleepers[2];
  iovec iov;
  msghdr header = {};
  mmsghdr many = {};
};
