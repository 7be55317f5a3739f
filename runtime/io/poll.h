// SPDX-License-Identifier: Apache-2.0
// Waiting for any of several descriptors. As the functions of the same names in libc, but for the result: -errno.
// Outside; the caller is a G with an M that it shares. kUnpollable (transfer.h): libc's function is to make the call.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "runtime/os/clock.h"

namespace mn {

long io_poll(pollfd* fds, nfds_t count, const Deadline& deadline);
long io_select(int count, fd_set* read, fd_set* write, fd_set* except, const Deadline& deadline);
long io_epoll_wait(int epfd, epoll_event* events, int most, const Deadline& deadline);

}  // namespace mn
