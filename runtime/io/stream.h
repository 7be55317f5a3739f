// SPDX-License-Identifier: Apache-2.0
// Calls that move data. As the functions of the same names in libc, with -errno as the result. Outside; the caller is
// a G with an M that it shares. kUnpollable: libc's function is to make the call.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace mn {

long io_read(int fd, void* buf, size_t size);
long io_write(int fd, const void* buf, size_t size);
long io_readv(int fd, const iovec* iov, int count);
long io_writev(int fd, const iovec* iov, int count);

long io_recv(int fd, void* buf, size_t size, int flags, sockaddr* from, socklen_t* from_size);
long io_recvmsg(int fd, msghdr* msg, int flags);
long io_recvmmsg(int fd, mmsghdr* msgs, unsigned count, int flags);
long io_send(int fd, const void* buf, size_t size, int flags, const sockaddr* to, socklen_t to_size);
long io_sendmsg(int fd, const msghdr* msg, int flags);
long io_sendmmsg(int fd, mmsghdr* msgs, unsigned count, int flags);

long io_accept(int fd, sockaddr* from, socklen_t* from_size, int flags);
long io_sendfile(int out, int in, off64_t* offset, size_t count);

}  // namespace mn
