// SPDX-License-Identifier: Apache-2.0
// What calls wait for and never get, until somebody makes it ready.
#pragma once

#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "threads.h"

struct NeverReady {
  NeverReady() {
    Check(pipe(empty), "pipe");
    Check(pipe(full), "pipe");
    Check(fcntl(full[1], F_SETPIPE_SZ, 4096), "F_SETPIPE_SZ");
    Expect(write(full[1], page, 4096) == 4096, "write");
    Check(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), "socketpair");
    listener = Listen(&address, &address_size);
    Check(event = eventfd(0, 0), "eventfd");
    Check(epoll = epoll_create1(0), "epoll_create1");
    Check(queue = msgget(IPC_PRIVATE, 0600), "msgget");
    sem_init(&sem, 0, 0);
    Check(files[0] = memfd_create("locked", 0), "memfd_create");
    const std::string file = "/proc/self/fd/" + std::to_string(files[0]);
    Check(files[1] = open(file.c_str(), O_RDWR), "open");
    struct flock all = {};
    all.l_type = F_WRLCK;
    Check(fcntl(files[0], F_OFD_SETLK, &all), "F_OFD_SETLK");
    no_messages = OpenQueue();
  }
  ~NeverReady() {
    msgctl(queue, IPC_RMID, nullptr);
    for (const int fd : {empty[0], empty[1], full[0], full[1], sockets[0], sockets[1], listener, event, epoll, files[0],
                         files[1], static_cast<int>(no_messages)})
      close(fd);
  }
  NeverReady(const NeverReady&) = delete;
  NeverReady& operator=(const NeverReady&) = delete;

  static int Listen(sockaddr_un* at, socklen_t* size) {
    const int listener = Check(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    const sockaddr_un any = {AF_UNIX, {}};
    Check(bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)), "bind");
    Check(listen(listener, 0), "listen");
    *size = sizeof *at;
    Check(getsockname(listener, reinterpret_cast<sockaddr*>(at), size), "getsockname");
    return listener;
  }
  // Of one short message.
  mqd_t OpenQueue() const {
    char name[64];
    snprintf(name, sizeof name, "/mn-never-ready-%d-%p", getpid(), static_cast<const void*>(this));
    mq_attr attributes = {};
    attributes.mq_maxmsg = 1;
    attributes.mq_msgsize = 16;
    const mqd_t mq = Check(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes), "mq_open");
    Check(mq_unlink(name), "mq_unlink");
    return mq;
  }

  char page[4096] = {};
  int empty[2], full[2], sockets[2], listener, event, epoll, queue, files[2];
  sockaddr_un address;
  socklen_t address_size;
  sem_t sem;
  mqd_t no_messages;
};
