// SPDX-License-Identifier: Apache-2.0
// read, write, send, recv and their kin.
#include "runtime/io/stream.h"

#include <asm/socket.h>
#include <sys/sendfile.h>

#include "runtime/io/transfer.h"
#include "shim/io.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM ssize_t read(int fd, void* buf, size_t size) {
  return served([&] { return io_read(fd, buf, size); }, [&] { return real.read(fd, buf, size); });
}
MN_SHIM ssize_t write(int fd, const void* buf, size_t size) {
  return served([&] { return io_write(fd, buf, size); }, [&] { return real.write(fd, buf, size); });
}
MN_SHIM ssize_t readv(int fd, const iovec* iov, int count) {
  return served([&] { return io_readv(fd, iov, count); }, [&] { return real.readv(fd, iov, count); });
}
MN_SHIM ssize_t writev(int fd, const iovec* iov, int count) {
  return served([&] { return io_writev(fd, iov, count); }, [&] { return real.writev(fd, iov, count); });
}

MN_SHIM ssize_t recv(int fd, void* buf, size_t size, int flags) {
  return served([&] { return io_recv(fd, buf, size, flags, nullptr, nullptr); },
                [&] { return real.recv(fd, buf, size, flags); });
}
MN_SHIM ssize_t recvfrom(int fd, void* buf, size_t size, int flags, sockaddr* from, socklen_t* from_size) {
  return served([&] { return io_recv(fd, buf, size, flags, from, from_size); },
                [&] { return real.recvfrom(fd, buf, size, flags, from, from_size); });
}
MN_SHIM ssize_t recvmsg(int fd, msghdr* msg, int flags) {
  return served([&] { return io_recvmsg(fd, msg, flags); }, [&] { return real.recvmsg(fd, msg, flags); });
}
MN_SHIM int recvmmsg(int fd, mmsghdr* msgs, unsigned count, int flags, timespec* timeout) {
  return static_cast<int>(served([&] { return timeout != nullptr ? kUnpollable : io_recvmmsg(fd, msgs, count, flags); },
                                 [&] { return real.recvmmsg(fd, msgs, count, flags, timeout); }));
}

MN_SHIM ssize_t send(int fd, const void* buf, size_t size, int flags) {
  return served([&] { return io_send(fd, buf, size, flags, nullptr, 0); },
                [&] { return real.send(fd, buf, size, flags); });
}
MN_SHIM ssize_t sendto(int fd, const void* buf, size_t size, int flags, const sockaddr* to, socklen_t to_size) {
  return served([&] { return io_send(fd, buf, size, flags, to, to_size); },
                [&] { return real.sendto(fd, buf, size, flags, to, to_size); });
}
MN_SHIM ssize_t sendmsg(int fd, const msghdr* msg, int flags) {
  return served([&] { return io_sendmsg(fd, msg, flags); }, [&] { return real.sendmsg(fd, msg, flags); });
}
MN_SHIM int sendmmsg(int fd, mmsghdr* msgs, unsigned count, int flags) {
  return static_cast<int>(served([&] { return io_sendmmsg(fd, msgs, count, flags); },
                                 [&] { return real.sendmmsg(fd, msgs, count, flags); }));
}

MN_SHIM int accept(int fd, sockaddr* from, socklen_t* from_size) {
  return static_cast<int>(
      served([&] { return io_accept(fd, from, from_size, 0); }, [&] { return real.accept(fd, from, from_size); }));
}
MN_SHIM int accept4(int fd, sockaddr* from, socklen_t* from_size, int flags) {
  return static_cast<int>(served([&] { return io_accept(fd, from, from_size, flags); },
                                 [&] { return real.accept4(fd, from, from_size, flags); }));
}

MN_SHIM ssize_t sendfile(int out, int in, off_t* offset, size_t count) {
  return served<Point::kNot>([&] { return io_sendfile(out, in, offset, count); },
                             [&] { return real.sendfile(out, in, offset, count); });
}
MN_SHIM ssize_t sendfile64(int out, int in, off64_t* offset, size_t count) {
  return served<Point::kNot>([&] { return io_sendfile(out, in, offset, count); },
                             [&] { return real.sendfile64(out, in, offset, count); });
}

MN_SHIM int setsockopt(int fd, int level, int option, const void* value, socklen_t size) {
  bool timeout = level == SOL_SOCKET && (option == SO_RCVTIMEO_OLD || option == SO_SNDTIMEO_OLD ||
                                         option == SO_RCVTIMEO_NEW || option == SO_SNDTIMEO_NEW);
  if (!on()) return real.setsockopt(fd, level, option, value, size);
  int result = real.setsockopt(fd, level, option, value, size);
  if (timeout) socket_timeouts_changed();
  return result;
}

// What _FORTIFY_SOURCE makes of them: the size of the buffer is known; libc's function ends a program that exceeds it.
MN_SHIM ssize_t __read_chk(int fd, void* buf, size_t size, size_t room) {
  return on() && size <= room ? read(fd, buf, size) : real.__read_chk(fd, buf, size, room);
}
MN_SHIM ssize_t __recv_chk(int fd, void* buf, size_t size, size_t room, int flags) {
  return on() && size <= room ? recv(fd, buf, size, flags) : real.__recv_chk(fd, buf, size, room, flags);
}
MN_SHIM ssize_t __recvfrom_chk(int fd, void* buf, size_t size, size_t room, int flags, sockaddr* from,
                               socklen_t* from_size) {
  return on() && size <= room ? recvfrom(fd, buf, size, flags, from, from_size)
                              : real.__recvfrom_chk(fd, buf, size, room, flags, from, from_size);
}

MN_ALIAS(__read, read);
MN_ALIAS(__write, write);
MN_ALIAS(__send, send);
