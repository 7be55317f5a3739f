// SPDX-License-Identifier: Apache-2.0
// Sockets: MSG_DONTWAIT makes every attempt one that does not block.
#include <errno.h>
#include <sys/epoll.h>

#include "runtime/io/iov.h"
#include "runtime/io/ready.h"
#include "runtime/io/stream.h"
#include "runtime/io/transfer.h"
#include "runtime/os/real.h"
#include "runtime/sched/sched.h"
#include "runtime/sync/usermem.h"
#include "runtime/thread/cancel.h"
#include "runtime/thread/raised.h"

namespace mn {
namespace {

// Out-of-band data and the queue of errors are there or not.
constexpr int kNeverWaits = MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE;

// Of a send's later parts: an end that comes in the middle is the next call's, as is its SIGPIPE.
int later(const Transfer* t) {
  return t->done > 0 ? MSG_DONTWAIT | MSG_NOSIGNAL : MSG_DONTWAIT;
}

bool is_stream(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, sys_arg(&type), sys_arg(&size));
  return type == SOCK_STREAM;
}

struct Recv : Transfer {
  char* buf;
  size_t size;
  int flags;
  sockaddr* from;
  socklen_t* from_size;

  static long attempt_recv(Transfer* t, int fd) {
    auto* r = static_cast<Recv*>(t);
    auto done = static_cast<size_t>(r->done);
    long n = raw_syscall(SYS_recvfrom, fd, sys_arg(r->buf + done), static_cast<long>(r->size - done),
                         r->flags | MSG_DONTWAIT, sys_arg(r->from), sys_arg(r->from_size));
    if (MN_LIKELY((r->flags & MSG_WAITALL) == 0)) return n;
    if (n <= 0) return n == -EAGAIN ? n : moved_or(t, n);
    r->done += n;
    return static_cast<size_t>(r->done) < r->size && is_stream(fd) ? -EAGAIN : r->done;
  }
};

struct RecvMsg : Transfer {
  msghdr* msg;
  int flags;

  static long attempt_recvmsg(Transfer* t, int fd) {
    auto* r = static_cast<RecvMsg*>(t);
    return raw_syscall(SYS_recvmsg, fd, sys_arg(r->msg), r->flags | MSG_DONTWAIT);
  }
};

// Without MSG_WAITFORONE it waits until all have come.
struct RecvMmsg : Transfer {
  mmsghdr* msgs;
  unsigned count;
  int flags;

  static long attempt_recvmmsg(Transfer* t, int fd) {
    auto* r = static_cast<RecvMmsg*>(t);
    long n = raw_syscall(SYS_recvmmsg, fd, sys_arg(r->msgs + r->done), r->count - r->done, r->flags | MSG_DONTWAIT, 0);
    if (n <= 0) return n == -EAGAIN ? n : moved_or(t, n);
    r->done += n;
    bool enough = r->done == r->count || (r->flags & MSG_WAITFORONE) != 0;
    return enough ? r->done : -EAGAIN;
  }
};

struct Send : Transfer {
  const char* buf;
  size_t size;
  int flags;
  const sockaddr* to;
  socklen_t to_size;

  static long attempt_send(Transfer* t, int fd) {
    auto* s = static_cast<Send*>(t);
    auto done = static_cast<size_t>(s->done);
    long n = raised_by(raw_syscall(SYS_sendto, fd, sys_arg(s->buf + done), static_cast<long>(s->size - done),
                                   s->flags | later(t), sys_arg(s->to), s->to_size));
    if (n < 0) return n == -EAGAIN ? n : moved_or(t, n);
    s->done += n;
    return static_cast<size_t>(s->done) < s->size ? -EAGAIN : s->done;
  }
};

// Control messages and the address go with the first part.
struct SendMsg : Transfer {
  const msghdr* msg;
  int flags;

  static long attempt_sendmsg(Transfer* t, int fd) {
    auto* s = static_cast<SendMsg*>(t);
    long n;
    if (s->done == 0) {
      n = raised_by(raw_syscall(SYS_sendmsg, fd, sys_arg(s->msg), s->flags | MSG_DONTWAIT));
    } else {
      IovTail rest(s->msg->msg_iov, static_cast<int>(s->msg->msg_iovlen), static_cast<size_t>(s->done));
      msghdr part{};
      part.msg_iov = rest.iov();
      part.msg_iovlen = static_cast<size_t>(rest.count());
      n = raised_by(raw_syscall(SYS_sendmsg, fd, sys_arg(&part), s->flags | later(t)));
    }
    if (n < 0) return n == -EAGAIN ? n : moved_or(t, n);
    s->done += n;
    size_t size = iov_size(s->msg->msg_iov, static_cast<int>(s->msg->msg_iovlen));
    return static_cast<size_t>(s->done) < size ? -EAGAIN : s->done;
  }
};

// Of datagrams.
struct SendMmsg : Transfer {
  mmsghdr* msgs;
  unsigned count;
  int flags;

  static long attempt_sendmmsg(Transfer* t, int fd) {
    auto* s = static_cast<SendMmsg*>(t);
    long n = raised_by(
        raw_syscall(SYS_sendmmsg, fd, sys_arg(s->msgs + s->done), s->count - s->done, s->flags | MSG_DONTWAIT));
    if (n < 0) return n == -EAGAIN ? n : moved_or(t, n);
    s->done += n;
    return s->done < s->count ? -EAGAIN : s->done;
  }
};

// accept(2) has no flag for "do not block". A pending connection that another process takes first makes it block its M.
struct Accept : Transfer {
  sockaddr* from;
  socklen_t* from_size;
  int flags;
  bool queued = false;

  // Otherwise it fails at once.
  static bool valid(int fd, int flag_bits) {
    int listens = 0;
    socklen_t size = sizeof listens;
    raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, sys_arg(&listens), sys_arg(&size));
    return listens != 0 && (flag_bits & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == 0;
  }

  static long attempt_accept(Transfer* t, int fd) {
    auto* a = static_cast<Accept*>(t);
    bool others = !a->queued && a->state->waits.load(std::memory_order_relaxed) != 0;
    t->attempted = !others;  // where the program asked for O_NONBLOCK there is no turn to wait for
    if (others || ready_now(fd, POLLIN) == 0) {
      bool first = !a->queued;
      a->queued = true;
      return first && !valid(fd, a->flags) ? kUnpollable : -EAGAIN;
    }
    int got = cancel_allowed([=] { return real.accept4(fd, a->from, a->from_size, a->flags); });
    if (got < 0) return -errno;
    fd_created(got, (a->flags & SOCK_NONBLOCK) != 0);
    return got;
  }
};

bool has_control(const msghdr* msg) {
  size_t size = 0;
  enter();
  bool readable = copy_memory(&size, &msg->msg_controllen, sizeof size);
  leave();
  return readable && size != 0;
}

}  // namespace

long io_recv(int fd, void* buf, size_t size, int flags, sockaddr* from, socklen_t* from_size) {
  FdState* s = fd_state(fd);
  if (s == nullptr || (flags & (MSG_PEEK | MSG_WAITALL)) == (MSG_PEEK | MSG_WAITALL)) return kUnpollable;
  Recv r{{EPOLLIN | EPOLLRDHUP, SO_RCVTIMEO, Recv::attempt_recv, s},
         static_cast<char*>(buf),
         size,
         flags,
         from,
         from_size};
  return (flags & kNeverWaits) != 0 ? Recv::attempt_recv(&r, fd) : run_receive(&r);
}

long io_recvmsg(int fd, msghdr* msg, int flags) {
  FdState* s = fd_state(fd);
  if (s == nullptr || (flags & MSG_WAITALL) != 0) return kUnpollable;
  RecvMsg r{{EPOLLIN | EPOLLRDHUP, SO_RCVTIMEO, RecvMsg::attempt_recvmsg, s}, msg, flags};
  return (flags & kNeverWaits) != 0 ? RecvMsg::attempt_recvmsg(&r, fd) : run_receive(&r);
}

long io_recvmmsg(int fd, mmsghdr* msgs, unsigned count, int flags) {
  FdState* s = fd_state(fd);
  if (s == nullptr || (flags & MSG_WAITALL) != 0) return kUnpollable;
  RecvMmsg r{{EPOLLIN | EPOLLRDHUP, SO_RCVTIMEO, RecvMmsg::attempt_recvmmsg, s}, msgs, count, flags};
  return (flags & kNeverWaits) != 0 ? moved_or(&r, RecvMmsg::attempt_recvmmsg(&r, fd)) : run_transfer(&r);
}

long io_send(int fd, const void* buf, size_t size, int flags, const sockaddr* to, socklen_t to_size) {
  FdState* s = fd_state(fd);
  if (s == nullptr) return kUnpollable;
  Send t{{EPOLLOUT, SO_SNDTIMEO, Send::attempt_send, s}, static_cast<const char*>(buf), size, flags, to, to_size};
  return (flags & MSG_DONTWAIT) != 0 ? moved_or(&t, Send::attempt_send(&t, fd)) : run_transfer(&t);
}

long io_sendmsg(int fd, const msghdr* msg, int flags) {
  FdState* s = fd_state(fd);
  if (s == nullptr) return kUnpollable;
  if (has_control(msg)) fds_shared();  // SCM_RIGHTS
  SendMsg t{{EPOLLOUT, SO_SNDTIMEO, SendMsg::attempt_sendmsg, s}, msg, flags};
  return (flags & MSG_DONTWAIT) != 0 ? moved_or(&t, SendMsg::attempt_sendmsg(&t, fd)) : run_transfer(&t);
}

long io_sendmmsg(int fd, mmsghdr* msgs, unsigned count, int flags) {
  FdState* s = fd_state(fd);
  // A part of a message on a stream counts as sent.
  if (s == nullptr || ((flags & MSG_DONTWAIT) == 0 && is_stream(fd))) return kUnpollable;
  SendMmsg t{{EPOLLOUT, SO_SNDTIMEO, SendMmsg::attempt_sendmmsg, s}, msgs, count, flags};
  return (flags & MSG_DONTWAIT) != 0 ? moved_or(&t, SendMmsg::attempt_sendmmsg(&t, fd)) : run_transfer(&t);
}

long io_accept(int fd, sockaddr* from, socklen_t* from_size, int flags) {
  FdState* s = fd_state(fd);
  if (s == nullptr || fd_kind(s) != FdKind::kSocket) return kUnpollable;
  Accept a{{EPOLLIN, SO_RCVTIMEO, Accept::attempt_accept, s}, from, from_size, flags};
  return run_transfer(&a);
}

}  // namespace mn
