// SPDX-License-Identifier: Apache-2.0
// read, write and their vector forms on whatever the descriptor is (fd.h).
#include <errno.h>
#include <sys/epoll.h>

#include "runtime/io/iov.h"
#include "runtime/io/ready.h"
#include "runtime/io/stream.h"
#include "runtime/io/transfer.h"
#include "runtime/os/real.h"

namespace mn {
namespace {

constexpr size_t kPipeBuf = 4096;  // POLLOUT promises as much room (pipe(7))
constexpr size_t kSendfilePart = 128 * 1024;

// The kernel cannot tell in advance for this file, or does not know the flag.
bool no_nowait(long error) {
  return error == -EOPNOTSUPP || error == -EINVAL || error == -ENOSYS;
}

struct Vector : Transfer {
  const iovec* iov;
  int count;

  static long attempt_read(Transfer* t, int fd) {
    auto* v = static_cast<Vector*>(t);
    if (fd_kind(t->state) == FdKind::kNowait) {
      long n = raw_syscall(SYS_preadv2, fd, sys_arg(v->iov), v->count, -1, -1, RWF_NOWAIT);
      if (!no_nowait(n)) return n;
      fd_set_kind(t->state, FdKind::kPollFirst);
    }
    if (ready_now(fd, POLLIN) == 0) return -EAGAIN;
    long n = real.readv(fd, v->iov, v->count);
    return n >= 0 ? n : -errno;
  }

  static long attempt_write(Transfer* t, int fd) {
    auto* v = static_cast<Vector*>(t);
    for (;;) {
      long n = v->done == 0 ? part(t, fd, v->iov, v->count) : rest(v, fd);
      if (n < 0) return n == -EAGAIN ? n : moved_or(t, n);
      v->done += n;
      if (n == 0 || static_cast<size_t>(v->done) == iov_size(v->iov, v->count)) return v->done;
    }
  }

 private:
  static long rest(Vector* v, int fd) {
    IovTail tail(v->iov, v->count, static_cast<size_t>(v->done));
    return part(v, fd, tail.iov(), tail.count());
  }

  // As much as there is room for now.
  static long part(Transfer* t, int fd, const iovec* iov, int count) {
    if (fd_kind(t->state) == FdKind::kNowait) {
      long n = raw_syscall(SYS_pwritev2, fd, sys_arg(iov), count, -1, -1, RWF_NOWAIT);
      if (!no_nowait(n)) return n;
      fd_set_kind(t->state, FdKind::kPollFirst);
    }
    if (ready_now(fd, POLLOUT) == 0) return -EAGAIN;
    while (count > 1 && iov->iov_len == 0) ++iov, --count;
    long n = real.write(fd, iov->iov_base, iov->iov_len < kPipeBuf ? iov->iov_len : kPipeBuf);
    return n >= 0 ? n : -errno;
  }
};

struct SendFile : Transfer {
  int in;
  off64_t* offset;
  size_t count;

  static long attempt_sendfile(Transfer* t, int fd) {
    auto* f = static_cast<SendFile*>(t);
    for (;;) {
      if (ready_now(fd, POLLOUT) == 0) return -EAGAIN;
      size_t left = f->count - static_cast<size_t>(f->done);
      long n = real.sendfile64(fd, f->in, f->offset, left < kSendfilePart ? left : kSendfilePart);
      if (n < 0) return moved_or(t, -errno);
      f->done += n;
      if (n == 0 || static_cast<size_t>(f->done) == f->count) return f->done;
    }
  }
};

// What reads and writes below need not look at.
bool direct(FdState* s, size_t size) {
  if (s == nullptr || size == 0) return true;
  FdKind kind = fd_kind(s);
  return kind == FdKind::kDirect || kind == FdKind::kUnknown;
}

bool is_socket(FdState* s) {
  return fd_kind(s) == FdKind::kSocket;
}

// ENOTSOCK: the number has come to name something else. libc's function serves it; the next call looks afresh.
long checked(FdState* s, long result) {
  if (MN_LIKELY(result != -ENOTSOCK)) return result;
  fd_set_kind(s, FdKind::kUnknown);
  return kUnpollable;
}

}  // namespace

long io_read(int fd, void* buf, size_t size) {
  FdState* s = fd_state(fd);
  if (direct(s, size)) return kUnpollable;
  if (is_socket(s)) return checked(s, io_recv(fd, buf, size, 0, nullptr, nullptr));
  iovec iov{buf, size};
  Vector v{{EPOLLIN, 0, Vector::attempt_read, s}, &iov, 1};
  return run_transfer(&v);
}

long io_write(int fd, const void* buf, size_t size) {
  FdState* s = fd_state(fd);
  if (direct(s, size)) return kUnpollable;
  if (is_socket(s)) return checked(s, io_send(fd, buf, size, 0, nullptr, 0));
  iovec iov{const_cast<void*>(buf), size};
  Vector v{{EPOLLOUT, 0, Vector::attempt_write, s}, &iov, 1};
  return run_transfer(&v);
}

long io_readv(int fd, const iovec* iov, int count) {
  FdState* s = fd_state(fd);
  if (direct(s, count > 0 ? 1 : 0)) return kUnpollable;
  if (is_socket(s)) {
    msghdr msg{};
    msg.msg_iov = const_cast<iovec*>(iov);
    msg.msg_iovlen = static_cast<size_t>(count);
    return checked(s, io_recvmsg(fd, &msg, 0));
  }
  Vector v{{EPOLLIN, 0, Vector::attempt_read, s}, iov, count};
  return run_transfer(&v);
}

long io_writev(int fd, const iovec* iov, int count) {
  FdState* s = fd_state(fd);
  if (direct(s, count > 0 ? 1 : 0)) return kUnpollable;
  if (is_socket(s)) {
    msghdr msg{};
    msg.msg_iov = const_cast<iovec*>(iov);
    msg.msg_iovlen = static_cast<size_t>(count);
    return checked(s, io_sendmsg(fd, &msg, 0));
  }
  Vector v{{EPOLLOUT, 0, Vector::attempt_write, s}, iov, count};
  return run_transfer(&v);
}

long io_sendfile(int out, int in, off64_t* offset, size_t count) {
  FdState* s = fd_state(out);
  if (direct(s, count)) return kUnpollable;
  SendFile f{{EPOLLOUT, is_socket(s) ? SO_SNDTIMEO : 0, SendFile::attempt_sendfile, s}, in, offset, count};
  return run_transfer(&f);
}

}  // namespace mn
