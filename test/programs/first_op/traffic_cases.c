// SPDX-License-Identifier: Apache-2.0
// Calls on descriptors that succeed: data goes through pipes and sockets, descriptors change and end.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "cases.h"

static int ends[2];
static char byte;
static struct iovec vector = {&byte, 1};
static struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
static struct mmsghdr messages;

// Two connected ends, with a byte to read at ends[0].
static void Pipe(void) {
  CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
}
static void Sockets(void) {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[1], "x", 1) == 1);
}
static void Close(void) {
  close(ends[0]);
  close(ends[1]);
}
static int Flags(int fd) {
  return fcntl(fd, F_GETFL);
}

static void Read(Function function) {
  Pipe();
  CHECK(CALL(read, ends[0], &byte, 1) == 1 && byte == 'x');
  Close();
}
static void ReadV(Function function) {
  Pipe();
  CHECK(CALL(readv, ends[0], &vector, 1) == 1 && byte == 'x');
  Close();
}
static void Write(Function function) {
  Pipe();
  CHECK(CALL(write, ends[1], "y", 1) == 1);
  Close();
}
static void WriteV(Function function) {
  Pipe();
  CHECK(CALL(writev, ends[1], &vector, 1) == 1);
  Close();
}
static void WriteWithoutReader(Function function) {
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  Pipe();
  close(ends[0]);
  CHECK(CALL(write, ends[1], "y", 1) == -1 && errno == EPIPE);
  close(ends[1]);
}
static void Recv(Function function) {
  Sockets();
  CHECK(CALL(recv, ends[0], &byte, 1, 0) == 1);
  CHECK(CALL(recv, ends[0], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  Close();
}
static void RecvFrom(Function function) {
  Sockets();
  CHECK(CALL(recvfrom, ends[0], &byte, 1, 0, NULL, NULL) == 1);
  Close();
}
static void RecvMsg(Function function) {
  Sockets();
  CHECK(CALL(recvmsg, ends[0], &message, 0) == 1);
  Close();
}
static void RecvMMsg(Function function) {
  Sockets();
  messages.msg_hdr = message;
  CHECK(CALL(recvmmsg, ends[0], &messages, 1, 0, NULL) == 1);
  Close();
}
static void Send(Function function) {
  Sockets();
  CHECK(CALL(send, ends[0], "y", 1, 0) == 1);
  Close();
}
static void SendTo(Function function) {
  Sockets();
  CHECK(CALL(sendto, ends[0], "y", 1, 0, NULL, 0) == 1);
  Close();
}
static void SendMsg(Function function) {
  Sockets();
  CHECK(CALL(sendmsg, ends[0], &message, 0) == 1);
  Close();
}
static void SendMMsg(Function function) {
  Sockets();
  messages.msg_hdr = message;
  CHECK(CALL(sendmmsg, ends[0], &messages, 1, 0) == 1);
  Close();
}
static void Shutdown(Function function) {
  Sockets();
  CHECK(CALL(shutdown, ends[1], SHUT_WR) == 0);
  CHECK(read(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 0);
  Close();
}
static void TimeOut(Function function) {
  Sockets();
  const struct timeval soon = {0, 1000};
  CHECK(CALL(setsockopt, ends[1], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
  CHECK(recv(ends[1], &byte, 1, 0) == -1 && errno == EAGAIN);
  Close();
}
static void Poll(Function function) {
  Pipe();
  struct pollfd fd = {ends[0], POLLIN, 0};
  CHECK(CALL(poll, &fd, 1, -1) == 1);
  CHECK(read(ends[0], &byte, 1) == 1);
  CHECK(CALL(poll, &fd, 1, 1) == 0);
  Close();
}
static void PPoll(Function function) {
  Pipe();
  struct pollfd fd = {ends[0], POLLIN, 0};
  CHECK(CALL(ppoll, &fd, 1, NULL, NULL) == 1);
  Close();
}
static fd_set SetOf(int fd) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  return set;
}
static void Select(Function function) {
  Pipe();
  fd_set set = SetOf(ends[0]);
  CHECK(CALL(select, ends[0] + 1, &set, NULL, NULL, NULL) == 1);
  Close();
}
static void PSelect(Function function) {
  Pipe();
  fd_set set = SetOf(ends[0]);
  CHECK(CALL(pselect, ends[0] + 1, &set, NULL, NULL, NULL, NULL) == 1);
  Close();
}
static int EpollOf(int fd) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  return epoll;
}
static void EpollWait(Function function) {
  Pipe();
  const int epoll = EpollOf(ends[0]);
  struct epoll_event event;
  CHECK(CALL(epoll_wait, epoll, &event, 1, -1) == 1);
  close(epoll);
  Close();
}
static void EpollPWait(Function function) {
  Pipe();
  const int epoll = EpollOf(ends[0]);
  struct epoll_event event;
  CHECK(CALL(epoll_pwait, epoll, &event, 1, -1, NULL) == 1);
  close(epoll);
  Close();
}
static int Listener(struct sockaddr_un* name) {
  memset(name, 0, sizeof *name);
  name->sun_family = AF_UNIX;
  snprintf(name->sun_path + 1, sizeof name->sun_path - 1, "first_op.%d", getpid());
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr*)name, sizeof *name) == 0 && listen(listener, 1) == 0);
  return listener;
}
static void Accept(Function function) {
  struct sockaddr_un name;
  const int listener = Listener(&name);
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(connect(client, (struct sockaddr*)&name, sizeof name) == 0);
  const int server = CALL(accept, listener, NULL, NULL);
  CHECK(server != -1);
  close(server);
  close(client);
  close(listener);
}
static void Connect(Function function) {
  struct sockaddr_un name;
  const int listener = Listener(&name);
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(CALL(connect, client, (struct sockaddr*)&name, sizeof name) == 0);
  close(client);
  close(listener);
}
static void SendFile(Function function) {
  Pipe();
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK(CALL(sendfile, ends[1], file, NULL, 1) == 1);
  close(file);
  Close();
}
static void CloseOne(Function function) {
  Pipe();
  CHECK(CALL(close, ends[0]) == 0);
  CHECK(Flags(ends[0]) == -1 && errno == EBADF);
  close(ends[1]);
}
static void CloseRange(Function function) {
  Pipe();
  CHECK(CALL(close_range, (unsigned)ends[0], (unsigned)ends[0], 0) == 0);
  CHECK(Flags(ends[0]) == -1 && errno == EBADF);
  close(ends[1]);
}
static void Dup(Function function) {
  Pipe();
  const int copy = CALL(dup, ends[0]);
  CHECK(copy != -1 && read(copy, &byte, 1) == 1);
  close(copy);
  Close();
}
static void Dup2(Function function) {
  Pipe();
  int others[2];
  CHECK(pipe(others) == 0);
  CHECK(CALL(dup2, ends[0], others[0]) == others[0]);
  CHECK(read(others[0], &byte, 1) == 1);
  close(others[0]);
  close(others[1]);
  Close();
}
static void NonBlocking(Function function) {
  Pipe();
  int on = 1;
  CHECK(CALL(ioctl, ends[0], FIONBIO, &on) == 0);
  CHECK((Flags(ends[0]) & O_NONBLOCK) != 0);
  CHECK(read(ends[0], &byte, 1) == 1);
  CHECK(read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
  Close();
}
static void SetFlags(Function function) {
  Pipe();
  CHECK(CALL(fcntl, ends[0], F_SETFL, O_NONBLOCK) == 0);
  CHECK(read(ends[0], &byte, 1) == 1);
  CHECK(read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
  Close();
}
static void Lock(Function function) {
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK(CALL(flock, file, LOCK_SH) == 0);
  CHECK(CALL(flock, file, LOCK_UN) == 0);
  close(file);
}
static void EventFd(Function function) {
  eventfd_t value = 0;
  const int event = CALL(eventfd, 3, EFD_CLOEXEC);
  CHECK(event != -1 && eventfd_read(event, &value) == 0 && value == 3);
  close(event);
}

#define WITH_DATA(name, body) \
  { #name ":data", body, (Function)name }

static const struct Case kCases[] = {
    WITH_DATA(read, Read),
    WITH_DATA(readv, ReadV),
    WITH_DATA(write, Write),
    WITH_DATA(writev, WriteV),
    {"write:no-reader", WriteWithoutReader, (Function)write},
    WITH_DATA(recv, Recv),
    WITH_DATA(recvfrom, RecvFrom),
    WITH_DATA(recvmsg, RecvMsg),
    WITH_DATA(recvmmsg, RecvMMsg),
    WITH_DATA(send, Send),
    WITH_DATA(sendto, SendTo),
    WITH_DATA(sendmsg, SendMsg),
    WITH_DATA(sendmmsg, SendMMsg),
    WITH_DATA(shutdown, Shutdown),
    WITH_DATA(setsockopt, TimeOut),
    WITH_DATA(poll, Poll),
    WITH_DATA(ppoll, PPoll),
    WITH_DATA(select, Select),
    WITH_DATA(pselect, PSelect),
    WITH_DATA(epoll_wait, EpollWait),
    WITH_DATA(epoll_pwait, EpollPWait),
    WITH_DATA(accept, Accept),
    WITH_DATA(connect, Connect),
    WITH_DATA(sendfile, SendFile),
    WITH_DATA(close, CloseOne),
    WITH_DATA(close_range, CloseRange),
    WITH_DATA(dup, Dup),
    WITH_DATA(dup2, Dup2),
    WITH_DATA(ioctl, NonBlocking),
    WITH_DATA(fcntl, SetFlags),
    WITH_DATA(flock, Lock),
    WITH_DATA(eventfd, EventFd),
};

const struct Family kTrafficFamily = FAMILY(kCases);
