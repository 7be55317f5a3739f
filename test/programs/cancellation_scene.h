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

#include "threads.h"

const timespec kLong = {40, 0};

inline timespec Later(clockid_t clock) {
  timespec at;
  clock_gettime(clock, &at);
  at.tv_sec += 40;
  return at;
}

struct Scene {
  Scene() {
    Check(pipe(empty), "pipe");
    Check(pipe(full), "pipe");
    Check(fcntl(full[1], F_SETPIPE_SZ, 4096), "F_SETPIPE_SZ");
    Expect(write(full[1], page, 4096) == 4096, "write");
    Check(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), "socketpair");
    Check(socketpair(AF_UNIX, SOCK_STREAM, 0, stuffed), "socketpair");
    while (send(stuffed[0], page, sizeof page, MSG_DONTWAIT) > 0) continue;
    Check(listener = socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    const sockaddr_un any = {AF_UNIX, {}};
    Check(bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)), "bind");
    Check(listen(listener, 0), "listen");
    socklen_t size = sizeof address;
    Check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    address_size = size;
    Check(busy = socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    // Another listener, whose backlog is full: who connects waits.
    Check(crowded = socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    Check(bind(crowded, reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)), "bind");
    Check(listen(crowded, 0), "listen");
    size = sizeof crowd;
    Check(getsockname(crowded, reinterpret_cast<sockaddr*>(&crowd), &size), "getsockname");
    Check(connect(busy, reinterpret_cast<sockaddr*>(&crowd), address_size), "connect");
    Check(caller = socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    Check(event = eventfd(0, 0), "eventfd");
    Check(epoll = epoll_create1(0), "epoll_create1");
    Check(queue = msgget(IPC_PRIVATE, 0600), "msgget");
    Check(packed = msgget(IPC_PRIVATE, 0600), "msgget");
    while (msgsnd(packed, &message, sizeof message.text, IPC_NOWAIT) == 0) continue;
    sem_init(&sem, 0, 0);
    snprintf(path, sizeof path, "/tmp/mn-cancellation-%d-%p", getpid(), static_cast<void*>(this));
    Check(mkdir(path, 0700), "mkdir");
    fifo = std::string(path) + "/fifo";
    other_fifo = fifo + "2";
    Check(mkfifo(fifo.c_str(), 0600), "mkfifo");
    Check(mkfifo(other_fifo.c_str(), 0600), "mkfifo");
    Check(files[0] = memfd_create("locked", 0), "memfd_create");
    const std::string file = "/proc/self/fd/" + std::to_string(files[0]);
    Check(files[1] = open(file.c_str(), O_RDWR), "open");
    Check(ftruncate(files[0], 4096), "ftruncate");
    struct flock all = {};
    all.l_type = F_WRLCK;
    Check(fcntl(files[0], F_OFD_SETLK, &all), "F_OFD_SETLK");
    mq_attr attributes = {};
    attributes.mq_maxmsg = 1;
    attributes.mq_msgsize = 16;
    for (mqd_t* mq : {&no_messages, &messages}) {
      const std::string name = std::string("/") + (path + 5);
      Check(*mq = mq_open(name.c_str(), O_CREAT | O_RDWR, 0600, &attributes), "mq_open");
      Check(mq_unlink(name.c_str()), "mq_unlink");
    }
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
    msgctl(queue, IPC_RMID, nullptr);
    msgctl(packed, IPC_RMID, nullptr);
    unlink(fifo.c_str());
    unlink(other_fifo.c_str());
    rmdir(path);
    fclose(stream);
    for (const int fd : {empty[0], caller, empty[1], full[0], full[1], sockets[0], sockets[1], stuffed[0], stuffed[1],
                         listener, busy, crowded, event, epoll, files[0], files[1], static_cast<int>(no_messages),
                         static_cast<int>(messages), terminal})
      close(fd);
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  static void* Sleep(void*) {
    for (;;) sleep(100);
  }

  char page[4096] = {}, path[64];
  int empty[2], full[2], sockets[2], stuffed[2], listener, crowded, busy, caller, event, epoll, queue, packed, files[2],
      terminal;
  mqd_t no_messages, messages;
  struct {
    long type = 1;
    char text[4000] = {};
  } message;
  sockaddr_un address, crowd;
  socklen_t address_size;
  std::string fifo, other_fifo;
  FILE* stream;
  sem_t sem;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pid_t child;
  pthread_t sleepers[2];
  iovec iov;
  msghdr header = {};
  mmsghdr many = {};
};
