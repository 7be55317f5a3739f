// SPDX-License-Identifier: Apache-2.0
// read, write and their vector forms on whatever the descriptor is (fd.h).
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "runtime/io/iov.h"
#include "runtime/io/ready.h"
#include "runtime/io/stream.h"
#include "runtime/io/transfer.h"
#include "runtime/os/confined.h"
#include "runtime/os/real.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/interrupt.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/raised.h"

namespace mn {
namespace {

constexpr size_t kPipeBuf = 4096;  // POLLOUT promises as much room (pipe(7))
constexpr size_t kSendfilePart = 128 * 1024;

// The kernel cannot tell in advance for this file, or does not know the flag.
bool no_nowait(long error) {
  return error == -EOPNOTSUPP || error == -EINVAL || refused(error);
}

// The vector's size where the kernel has not looked at it yet; -EFAULT as it would say.
long checked_size(const iovec* iov, int count) {
  long size = 0;
  enter();
  for (int i = 0; i < count && size >= 0; ++i) {
    iovec part;
    size = copy_memory(&part, iov + i, sizeof part) ? size + static_cast<long>(part.iov_len) : -EFAULT;
  }
  leave();
  return size;
}

// A read that ends although nothing has come: too short for a counter (eventfd, timerfd), or of a terminal that is
// asked not to wait.
bool answers_empty(int fd, long size) {
  struct stat st;
  if (raw_syscall(SYS_fstat, fd, sys_arg(&st)) != 0) return true;
  if (S_ISCHR(st.st_mode)) {
    termios t;
    return raw_syscall(SYS_ioctl, fd, TCGETS, sys_arg(&t)) == 0 && (t.c_lflag & ICANON) == 0 && t.c_cc[VMIN] == 0;
  }
  return (st.st_mode & S_IFMT) == 0 && size < static_cast<long>(sizeof(uint64_t));
}

// Terminals end calls for signals that are none of the program's, too.
template <class Call>
long call_device(Call call) {
  for (;;) {
    Interruption interruption(this_g());
    long n = cancel_allowed(call);
    if (n >= 0) return n;
    if (errno != EINTR || !interruption.only_preempted()) return -errno;
  }
}

struct Vector : Transfer {
  const iovec* iov;
  int count;

  static long attempt_read(Transfer* t, int fd) {
    auto* v = static_cast<Vector*>(t);
    FdKind kind = fd_kind(t->state);
    if (kind == FdKind::kNowait || kind == FdKind::kSocket) {
      long n = raw_syscall(SYS_preadv2, fd, sys_arg(v->iov), v->count, -1, -1, RWF_NOWAIT);
      if (!no_nowait(n)) return n;
      if (kind == FdKind::kSocket) return receive(v, fd);
      fd_no_nowait(t->state);
    }
    if (ready_now(fd, POLLIN) == 0) {
      long size = checked_size(v->iov, v->count);
      if (size <= 0) return size;
      if (kind == FdKind::kPollFirst || !answers_empty(fd, size)) return -EAGAIN;
    }
    return call_device([=] { return real.readv(fd, v->iov, v->count); });
  }

  static long attempt_write(Transfer* t, int fd) {
    auto* v = static_cast<Vector*>(t);
    for (;;) {
      long n = v->done == 0 ? first(v, fd) : rest(v, fd);
      if (n < 0) return n == -EAGAIN ? n : moved_or(t, n);
      v->done += n;
      if (n == 0 || static_cast<size_t>(v->done) == iov_size(v->iov, v->count)) return v->done;
    }
  }

 private:
  static msghdr message(const iovec* iov, int count) {
    msghdr msg{};
    msg.msg_iov = const_cast<iovec*>(iov);
    msg.msg_iovlen = static_cast<size_t>(count);
    return msg;
  }

  static long receive(Vector* v, int fd) {
    msghdr msg = message(v->iov, v->count);
    return raw_syscall(SYS_recvmsg, fd, sys_arg(&msg), MSG_DONTWAIT);
  }

  // An end that comes in the middle is the next call's, as is its SIGPIPE.
  static long send(Vector* v, int fd, const iovec* iov, int count) {
    msghdr msg = message(iov, count);
    return raised_by(raw_syscall(SYS_sendmsg, fd, sys_arg(&msg), MSG_DONTWAIT | (v->done != 0 ? MSG_NOSIGNAL : 0)));
  }

  static long first(Vector* v, int fd) {
    FdKind kind = fd_kind(v->state);
    if (kind == FdKind::kNowait || kind == FdKind::kSocket) {
      long n = raised_by(raw_syscall(SYS_pwritev2, fd, sys_arg(v->iov), v->count, -1, -1, RWF_NOWAIT));
      if (!no_nowait(n)) return n;
      if (kind == FdKind::kSocket) return send(v, fd, v->iov, v->count);
      fd_no_nowait(v->state);
    }
    long size = checked_size(v->iov, v->count);
    return size <= 0 ? size : when_ready(v, fd, v->iov, v->count);
  }

  static long rest(Vector* v, int fd) {
    IovTail tail(v->iov, v->count, static_cast<size_t>(v->done));
    switch (fd_kind(v->state)) {
      case FdKind::kSocket:
        return send(v, fd, tail.iov(), tail.count());
      case FdKind::kNowait:
        return raised_by(raw_syscall(SYS_pwritev2, fd, sys_arg(tail.iov()), tail.count(), -1, -1, RWF_NOWAIT));
      default:
        return when_ready(v, fd, tail.iov(), tail.count());
    }
  }

  // What a FIFO has room for now; what is for a device at once. A vector of no more than kPipeBuf is not torn.
  static long when_ready(Vector* v, int fd, const iovec* iov, int count) {
    if (ready_now(fd, POLLOUT) == 0) return -EAGAIN;
    while (iov->iov_len == 0) ++iov, --count;
    bool whole = fd_kind(v->state) == FdKind::kDevice || iov_size(iov, count) <= kPipeBuf;
    return call_device([=] {
      return whole ? real.writev(fd, iov, count)
                   : real.write(fd, iov->iov_base, iov->iov_len < kPipeBuf ? iov->iov_len : kPipeBuf);
    });
  }
};

struct SendFile : Transfer {
  int in;
  off64_t* offset;
  size_t count;

  // A socket takes all of it; of anything else, as natively, what there is room for at once.
  static long attempt_sendfile(Transfer* t, int fd) {
    auto* f = static_cast<SendFile*>(t);
    bool all = fd_kind(t->state) == FdKind::kSocket;
    for (;;) {
      if (ready_now(fd, POLLOUT) == 0) return -EAGAIN;
      size_t left = f->count - static_cast<size_t>(f->done);
      long n = real.sendfile64(fd, f->in, f->offset, all && left > kSendfilePart ? kSendfilePart : left);
      if (n < 0) return moved_or(t, -errno);
      f->done += n;
      if (!all || n == 0 || static_cast<size_t>(f->done) == f->count) return f->done;
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
  if (count > IOV_MAX || direct(s, count > 0 ? 1 : 0)) return kUnpollable;
  Vector v{{EPOLLIN | EPOLLRDHUP, is_socket(s) ? SO_RCVTIMEO : 0, Vector::attempt_read, s}, iov, count};
  return checked(s, run_transfer(&v));
}

long io_writev(int fd, const iovec* iov, int count) {
  FdState* s = fd_state(fd);
  if (count > IOV_MAX || direct(s, count > 0 ? 1 : 0)) return kUnpollable;
  Vector v{{EPOLLOUT, is_socket(s) ? SO_SNDTIMEO : 0, Vector::attempt_write, s}, iov, count};
  return checked(s, run_transfer(&v));
}

long io_sendfile(int out, int in, off64_t* offset, size_t count) {
  FdState* s = fd_state(out);
  if (direct(s, count)) return kUnpollable;
  SendFile f{{EPOLLOUT, is_socket(s) ? SO_SNDTIMEO : 0, SendFile::attempt_sendfile, s}, in, offset, count};
  f.cancels = false;
  return run_transfer(&f);
}

}  // namespace mn
