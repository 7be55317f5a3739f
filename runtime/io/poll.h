// SPDX-License-Identifier: Apache-2.0
// Waiting for any of several descriptors. As the functions of the same names in libc, with -errno as the result.
// Outside; the caller is a G with an M that it shares. kUnpollable (transfer.h): libc's function is to make the call.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "runtime/os/clock.h"

namespace mn {

long io_poll(pollfd* fds, nfds_t count, const Deadline& deadline);
long io_select(int count, fd_set* read, fd_set* write, fd_set* except, const Deadline& deadline);
// With a mask of signals for the time of the wait: the kernel has to see it, for signals to the process. Also for
// threads that are wired.
long io_ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask);
long io_pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout, const sigset_t* mask);
long io_epoll_pwait(int epfd, epoll_event* events, int most, const Deadline& deadline, const sigset_t* mask);

long io_epoll_pwait2(int epfd, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask);

// `exact`: epoll_pwait2's timeout, which is not in milliseconds; null: epoll_wait's call.
long io_epoll_wait(int epfd, epoll_event* events, int most, const Deadline& deadline, const timespec* exact = nullptr);

}  // namespace mn
