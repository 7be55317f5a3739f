// SPDX-License-Identifier: Apache-2.0
// Descriptors, and calls that may block in the kernel.
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cases.h"

static char b[64];
static struct iovec v = {b, 1};
static struct msghdr m;
static struct mmsghdr mm;
static struct epoll_event e;
static int zero, fds[2];
static struct timespec t;
static struct timeval tv;
static struct sockaddr_in in = {.sin_family = AF_INET};
static char host[64];
static siginfo_t info;
static struct sembuf op;
static long one[2] = {1, 0};
static void Case_read(Function function) {
  CHECK(CALL(read, -1, b, 1) == -1 && errno == EBADF);
}
static void Case_write(Function function) {
  CHECK(CALL(write, -1, b, 1) == -1 && errno == EBADF);
}
static void Case_readv(Function function) {
  CHECK(CALL(readv, -1, &v, 1) == -1 && errno == EBADF);
}
static void Case_writev(Function function) {
  CHECK(CALL(writev, -1, &v, 1) == -1 && errno == EBADF);
}
static void Case_recv(Function function) {
  CHECK(CALL(recv, -1, b, 1, 0) == -1 && errno == EBADF);
}
static void Case_recvfrom(Function function) {
  CHECK(CALL(recvfrom, -1, b, 1, 0, NULL, NULL) == -1 && errno == EBADF);
}
static void Case_recvmsg(Function function) {
  CHECK(CALL(recvmsg, -1, &m, 0) == -1 && errno == EBADF);
}
static void Case_recvmmsg(Function function) {
  CHECK(CALL(recvmmsg, -1, &mm, 1, 0, NULL) == -1 && errno == EBADF);
}
static void Case_send(Function function) {
  CHECK(CALL(send, -1, b, 1, 0) == -1 && errno == EBADF);
}
static void Case_sendto(Function function) {
  CHECK(CALL(sendto, -1, b, 1, 0, NULL, 0) == -1 && errno == EBADF);
}
static void Case_sendmsg(Function function) {
  CHECK(CALL(sendmsg, -1, &m, 0) == -1 && errno == EBADF);
}
static void Case_sendmmsg(Function function) {
  CHECK(CALL(sendmmsg, -1, &mm, 1, 0) == -1 && errno == EBADF);
}
static void Case_accept(Function function) {
  CHECK(CALL(accept, -1, NULL, NULL) == -1 && errno == EBADF);
}
static void Case_accept4(Function function) {
  CHECK(CALL(accept4, -1, NULL, NULL, 0) == -1 && errno == EBADF);
}
static void Case_sendfile(Function function) {
  CHECK(CALL(sendfile, -1, -1, NULL, 1) == -1 && errno == EBADF);
}
static void Case_sendfile64(Function function) {
  CHECK(CALL(sendfile64, -1, -1, NULL, 1) == -1 && errno == EBADF);
}
static void Case_setsockopt(Function function) {
  CHECK(CALL(setsockopt, -1, SOL_SOCKET, SO_RCVTIMEO, b, 1) == -1 && errno == EBADF);
}
static void Case_shutdown(Function function) {
  CHECK(CALL(shutdown, -1, SHUT_RD) == -1 && errno == EBADF);
}
static void Case_epoll_wait(Function function) {
  CHECK(CALL(epoll_wait, -1, &e, 1, 0) == -1 && errno == EBADF);
}
static void Case_epoll_pwait(Function function) {
  CHECK(CALL(epoll_pwait, -1, &e, 1, 0, NULL) == -1 && errno == EBADF);
}
static void Case_epoll_pwait2(Function function) {
  CHECK(CALL(epoll_pwait2, -1, &e, 1, NULL, NULL) == -1 && errno == EBADF);
}
static void Case_close(Function function) {
  CHECK(CALL(close, -1) == -1 && errno == EBADF);
}
static void Case_dup(Function function) {
  CHECK(CALL(dup, -1) == -1 && errno == EBADF);
}
static void Case_dup2(Function function) {
  CHECK(CALL(dup2, -1, 0) == -1 && errno == EBADF);
}
static void Case_dup3(Function function) {
  CHECK(CALL(dup3, -1, 0, 0) == -1 && errno == EBADF);
}
static void Case_ioctl(Function function) {
  CHECK(CALL(ioctl, -1, FIONBIO, &zero) == -1 && errno == EBADF);
}
static void Case_flock(Function function) {
  CHECK(CALL(flock, -1, LOCK_EX) == -1 && errno == EBADF);
}
static void Case_lockf(Function function) {
  CHECK(CALL(lockf, -1, F_LOCK, 1) == -1 && errno == EBADF);
}
static void Case_lockf64(Function function) {
  CHECK(CALL(lockf64, -1, F_LOCK, 1) == -1 && errno == EBADF);
}
static void Case_fcntl(Function function) {
  CHECK(CALL(fcntl, -1, F_GETFL) == -1 && errno == EBADF);
}
static void Case_fcntl64(Function function) {
  CHECK(CALL(fcntl64, -1, F_GETFL) == -1 && errno == EBADF);
}
static void Case_connect(Function function) {
  CHECK(CALL(connect, -1, NULL, 0) == -1 && errno == EBADF);
}
static void Case_fsync(Function function) {
  CHECK(CALL(fsync, -1) == -1 && errno == EBADF);
}
static void Case_fdatasync(Function function) {
  CHECK(CALL(fdatasync, -1) == -1 && errno == EBADF);
}
static void Case_tcdrain(Function function) {
  CHECK(CALL(tcdrain, -1) == -1 && errno == EBADF);
}
static void Case_mq_receive(Function function) {
  CHECK(CALL(mq_receive, -1, b, 1, NULL) == -1 && errno == EBADF);
}
static void Case_mq_timedreceive(Function function) {
  CHECK(CALL(mq_timedreceive, -1, b, 1, NULL, &t) == -1 && errno == EBADF);
}
static void Case_mq_send(Function function) {
  CHECK(CALL(mq_send, -1, b, 1, 0) == -1 && errno == EBADF);
}
static void Case_mq_timedsend(Function function) {
  CHECK(CALL(mq_timedsend, -1, b, 1, 0, &t) == -1 && errno == EBADF);
}
static void Case_poll(Function function) {
  CHECK(CALL(poll, NULL, 0, 0) == 0);
}
static void Case_ppoll(Function function) {
  CHECK(CALL(ppoll, NULL, 0, &t, NULL) == 0);
}
static void Case_select(Function function) {
  CHECK(CALL(select, 0, NULL, NULL, NULL, &tv) == 0);
}
static void Case_pselect(Function function) {
  CHECK(CALL(pselect, 0, NULL, NULL, NULL, &t, NULL) == 0);
}
static void Case_close_range(Function function) {
  CHECK(CALL(close_range, 4000, 4001, 0) == 0);
}
static void Case_getnameinfo(Function function) {
  CHECK(CALL(getnameinfo, (void*)&in, sizeof in, host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0);
}
static void Case_pipe(Function function) {
  CHECK(CALL(pipe, fds) == 0);
}
static void Case_pipe2(Function function) {
  CHECK(CALL(pipe2, fds, 0) == 0);
}
static void Case_socketpair(Function function) {
  CHECK(CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, fds) == 0);
}
static void Case_wait(Function function) {
  CHECK(CALL(wait, NULL) == -1 && errno == ECHILD);
}
static void Case_waitpid(Function function) {
  CHECK(CALL(waitpid, -1, NULL, 0) == -1 && errno == ECHILD);
}
static void Case_wait3(Function function) {
  CHECK(CALL(wait3, NULL, 0, NULL) == -1 && errno == ECHILD);
}
static void Case_wait4(Function function) {
  CHECK(CALL(wait4, -1, NULL, 0, NULL) == -1 && errno == ECHILD);
}
static void Case_waitid(Function function) {
  CHECK(CALL(waitid, P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD);
}
static void Case_msgrcv(Function function) {
  CHECK(CALL(msgrcv, -1, b, 1, 0, 0) == -1 && errno == EINVAL);
}
static void Case_msgsnd(Function function) {
  CHECK(CALL(msgsnd, -1, &one, 1, 0) == -1 && errno == EINVAL);
}
static void Case_semop(Function function) {
  CHECK(CALL(semop, -1, &op, 1) == -1 && errno == EINVAL);
}
static void Case_semtimedop(Function function) {
  CHECK(CALL(semtimedop, -1, &op, 1, &t) == -1 && errno == EINVAL);
}
static void Case_socket(Function function) {
  CHECK(CALL(socket, AF_UNIX, SOCK_STREAM, 0) >= 0);
}
static void Case_eventfd(Function function) {
  CHECK(CALL(eventfd, 0, 0) >= 0);
}
static void Case_timerfd_create(Function function) {
  CHECK(CALL(timerfd_create, CLOCK_MONOTONIC, 0) >= 0);
}
static void Case_epoll_create(Function function) {
  CHECK(CALL(epoll_create, 1) >= 0);
}
static void Case_epoll_create1(Function function) {
  CHECK(CALL(epoll_create1, 0) >= 0);
}
static void Case___read_chk(Function function) {
  CHECK(CALL_AS((ssize_t(*)(int, void*, size_t, size_t))function, -1, b, 1, 1) == -1 && errno == EBADF);
}
static void Case___recv_chk(Function function) {
  CHECK(CALL_AS((ssize_t(*)(int, void*, size_t, size_t, int))function, -1, b, 1, 1, 0) == -1 && errno == EBADF);
}
static void Case___recvfrom_chk(Function function) {
  CHECK(CALL_AS((ssize_t(*)(int, void*, size_t, size_t, int, void*, void*))function, -1, b, 1, 1, 0, NULL, NULL) ==
            -1 &&
        errno == EBADF);
}
static void Case___poll_chk(Function function) {
  CHECK(CALL_AS((int (*)(void*, unsigned long, int, size_t))function, NULL, 0, 0, 0) == 0);
}
static void Case___ppoll_chk(Function function) {
  CHECK(CALL_AS((int (*)(void*, unsigned long, void*, void*, size_t))function, NULL, 0, &t, NULL, 0) == 0);
}
static void CloseFrom(Function function) {
  CALL_VOID(closefrom, 4000);
}
static void CloseFile(Function function) {
  FILE* file = fopen("/dev/null", "r");
  CHECK(CALL(fclose, file) == 0);
}
static void Resolve(Function function) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
  struct addrinfo* found = NULL;
  CHECK(CALL(getaddrinfo, "127.0.0.1", NULL, &hints, &found) == 0);
  freeaddrinfo(found);
}

static const struct Case kCases[] = {
    DECLARED(read, Case_read),
    DECLARED(write, Case_write),
    DECLARED(readv, Case_readv),
    DECLARED(writev, Case_writev),
    DECLARED(recv, Case_recv),
    DECLARED(recvfrom, Case_recvfrom),
    DECLARED(recvmsg, Case_recvmsg),
    DECLARED(recvmmsg, Case_recvmmsg),
    DECLARED(send, Case_send),
    DECLARED(sendto, Case_sendto),
    DECLARED(sendmsg, Case_sendmsg),
    DECLARED(sendmmsg, Case_sendmmsg),
    DECLARED(accept, Case_accept),
    DECLARED(accept4, Case_accept4),
    DECLARED(sendfile, Case_sendfile),
    DECLARED(sendfile64, Case_sendfile64),
    DECLARED(setsockopt, Case_setsockopt),
    DECLARED(shutdown, Case_shutdown),
    DECLARED(epoll_wait, Case_epoll_wait),
    DECLARED(epoll_pwait, Case_epoll_pwait),
    DECLARED(epoll_pwait2, Case_epoll_pwait2),
    DECLARED(close, Case_close),
    DECLARED(dup, Case_dup),
    DECLARED(dup2, Case_dup2),
    DECLARED(dup3, Case_dup3),
    DECLARED(ioctl, Case_ioctl),
    DECLARED(flock, Case_flock),
    DECLARED(lockf, Case_lockf),
    DECLARED(lockf64, Case_lockf64),
    DECLARED(fcntl, Case_fcntl),
    DECLARED(fcntl64, Case_fcntl64),
    DECLARED(connect, Case_connect),
    DECLARED(fsync, Case_fsync),
    DECLARED(fdatasync, Case_fdatasync),
    DECLARED(tcdrain, Case_tcdrain),
    DECLARED(mq_receive, Case_mq_receive),
    DECLARED(mq_timedreceive, Case_mq_timedreceive),
    DECLARED(mq_send, Case_mq_send),
    DECLARED(mq_timedsend, Case_mq_timedsend),
    DECLARED(poll, Case_poll),
    DECLARED(ppoll, Case_ppoll),
    DECLARED(select, Case_select),
    DECLARED(pselect, Case_pselect),
    DECLARED(close_range, Case_close_range),
    DECLARED(getnameinfo, Case_getnameinfo),
    DECLARED(pipe, Case_pipe),
    DECLARED(pipe2, Case_pipe2),
    DECLARED(socketpair, Case_socketpair),
    DECLARED(wait, Case_wait),
    DECLARED(waitpid, Case_waitpid),
    DECLARED(wait3, Case_wait3),
    DECLARED(wait4, Case_wait4),
    DECLARED(waitid, Case_waitid),
    DECLARED(msgrcv, Case_msgrcv),
    DECLARED(msgsnd, Case_msgsnd),
    DECLARED(semop, Case_semop),
    DECLARED(semtimedop, Case_semtimedop),
    DECLARED(socket, Case_socket),
    DECLARED(eventfd, Case_eventfd),
    DECLARED(timerfd_create, Case_timerfd_create),
    DECLARED(epoll_create, Case_epoll_create),
    DECLARED(epoll_create1, Case_epoll_create1),
    BY_NAME(__read_chk, Case___read_chk),
    BY_NAME(__recv_chk, Case___recv_chk),
    BY_NAME(__recvfrom_chk, Case___recvfrom_chk),
    BY_NAME(__poll_chk, Case___poll_chk),
    BY_NAME(__ppoll_chk, Case___ppoll_chk),
    BY_NAME(__read, Case_read),
    BY_NAME(__write, Case_write),
    BY_NAME(__send, Case_send),
    BY_NAME(__close, Case_close),
    BY_NAME(__dup2, Case_dup2),
    BY_NAME(__fcntl, Case_fcntl),
    BY_NAME(__connect, Case_connect),
    BY_NAME(__poll, Case_poll),
    BY_NAME(__select, Case_select),
    BY_NAME(__wait, Case_wait),
    BY_NAME(__waitpid, Case_waitpid),
    DECLARED(closefrom, CloseFrom),
    DECLARED(fclose, CloseFile),
    DECLARED(getaddrinfo, Resolve),
};

const struct Family kIoFamily = FAMILY(kCases);
