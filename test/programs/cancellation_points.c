// SPDX-License-Identifier: Apache-2.0
// Every call that is a cancellation point, and many that are not, with a cancellation pending: of main and of a thread,
// enabled and disabled. Writes what became of each: cancelled, or its result.
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static int pipe_[2], pair_[2], file_, epoll_;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_barrier_t barrier;
static sem_t sem;  // of 1
static pthread_t dead, alive;
static thrd_t dead_too;
static char buf[64];
static struct iovec iov = {buf, 1};
static struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
static struct mmsghdr messages = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
static const struct timespec past = {1, 0}, millisecond = {0, 1000000}, zero = {0, 0};
// Not constant, for the compiler knows which arguments are wrong.
static volatile int bad = -1;
static struct timespec invalid = {0, -1};

static void nothing(void) {}
static sigset_t none(void) {
  sigset_t set;
  sigemptyset(&set);
  return set;
}
static sigset_t usr1(void) {
  sigset_t set = none();
  sigaddset(&set, SIGUSR1);
  return set;
}
static struct pollfd readable(void) {
  return (struct pollfd){pipe_[0], POLLIN, 0};
}
static struct flock lock(void) {
  return (struct flock){.l_type = F_WRLCK};
}
static int locked(int (*wait)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*),
                  const struct timespec* until) {
  pthread_mutex_lock(&mutex);
  int result = wait(&cond, &mutex, until);
  pthread_mutex_unlock(&mutex);
  return result;
}
static int clockwait(pthread_cond_t* c, pthread_mutex_t* m, const struct timespec* until) {
  return pthread_cond_clockwait(c, m, CLOCK_MONOTONIC, until);
}
static int c11_wait(pthread_cond_t* c, pthread_mutex_t* m, const struct timespec* until) {
  return cnd_timedwait((cnd_t*)c, (mtx_t*)m, until);
}
static int for_ever(pthread_cond_t* c, pthread_mutex_t* m, const struct timespec* until) {
  (void)until;
  return pthread_cond_wait(c, m);
}

// CALL(name, expression)
#define ON_DESCRIPTORS                                                                                    \
  CALL(read, read(pipe_[0], buf, 1))                                                                      \
  CALL(write, write(pipe_[1], "x", 1))                                                                    \
  CALL(readv, readv(pipe_[0], &iov, 1))                                                                   \
  CALL(writev, writev(pipe_[1], &iov, 1))                                                                 \
  CALL(recv, recv(pair_[0], buf, 1, 0))                                                                   \
  CALL(recvfrom, recvfrom(pair_[0], buf, 1, 0, NULL, NULL))                                               \
  CALL(recvmsg, recvmsg(pair_[0], &message, 0))                                                           \
  CALL(recvmmsg, recvmmsg(pair_[0], &messages, 1, 0, NULL))                                               \
  CALL(recv_without_waiting, recv(pair_[1], buf, 1, MSG_DONTWAIT))                                        \
  CALL(send, send(pair_[0], "x", 1, 0))                                                                   \
  CALL(sendto, sendto(pair_[0], "x", 1, 0, NULL, 0))                                                      \
  CALL(sendmsg, sendmsg(pair_[0], &message, 0))                                                           \
  CALL(sendmmsg, sendmmsg(pair_[0], &messages, 1, 0))                                                     \
  CALL(read_of_a_file, read(file_, buf, 1))                                                               \
  CALL(write_to_a_file, write(file_, "x", 1))                                                             \
  CALL(pread, pread(file_, buf, 1, 0))                                                                    \
  CALL(pwrite, pwrite(file_, "x", 1, 0))                                                                  \
  CALL(read_of_none, read(bad, buf, 1))                                                                   \
  CALL(write_to_none, write(bad, buf, 1))                                                                 \
  CALL(read_nothing, read(pipe_[0], buf, 0))                                                              \
  CALL(accept, accept(bad, NULL, NULL))                                                                   \
  CALL(accept4, accept4(bad, NULL, NULL, 0))                                                              \
  CALL(connect, connect(bad, NULL, 0))                                                                    \
  CALL(sendfile, sendfile(pipe_[1], file_, NULL, 1))                                                      \
  CALL(splice, splice(bad, NULL, bad, NULL, 1, 0))                                                        \
  CALL(poll_of_none, poll(NULL, 0, 1))                                                                    \
  CALL(poll_at_once, poll((struct pollfd[]){readable()}, 1, 0))                                           \
  CALL(ppoll, ppoll((struct pollfd[]){readable()}, 1, NULL, NULL))                                        \
  CALL(ppoll_masked, ppoll((struct pollfd[]){readable()}, 1, NULL, (sigset_t[]){none()}))                 \
  CALL(select, select(0, NULL, NULL, NULL, &(struct timeval){0, 0}))                                      \
  CALL(pselect, pselect(0, NULL, NULL, NULL, &zero, NULL))                                                \
  CALL(pselect_masked, pselect(0, NULL, NULL, NULL, &zero, (sigset_t[]){usr1()}))                         \
  CALL(epoll_wait, epoll_wait(epoll_, (struct epoll_event[1]){{0}}, 1, 0))                                \
  CALL(epoll_pwait, epoll_pwait(epoll_, (struct epoll_event[1]){{0}}, 1, 0, NULL))                        \
  CALL(epoll_pwait_masked, epoll_pwait(epoll_, (struct epoll_event[1]){{0}}, 1, 0, (sigset_t[]){none()})) \
  CALL(open, open("/dev/null", O_RDONLY) >= 0)                                                            \
  CALL(openat, openat(AT_FDCWD, "/dev/null", O_RDONLY) >= 0)                                              \
  CALL(creat, creat("/dev/null", 0600) >= 0)                                                              \
  CALL(close, close(dup(0)))                                                                              \
  CALL(close_of_none, close(bad))                                                                         \
  CALL(fcntl, fcntl(0, F_GETFD))                                                                          \
  CALL(fcntl_setlk, fcntl(file_, F_SETLK, (struct flock[]){lock()}))                                      \
  CALL(fcntl_setlkw, fcntl(file_, F_SETLKW, (struct flock[]){lock()}))                                    \
  CALL(fcntl_ofd_setlkw, fcntl(file_, F_OFD_SETLKW, (struct flock[]){lock()}))                            \
  CALL(lockf, lockf(file_, F_LOCK, 1))                                                                    \
  CALL(lockf_tlock, lockf(file_, F_TLOCK, 1))                                                             \
  CALL(flock, flock(file_, LOCK_EX))                                                                      \
  CALL(fsync, fsync(file_))                                                                               \
  CALL(fdatasync, fdatasync(file_))                                                                       \
  CALL(msync, msync(NULL, 0, MS_SYNC))                                                                    \
  CALL(tcdrain, tcdrain(bad))                                                                             \
  CALL(dup, dup(0) >= 0)                                                                                  \
  CALL(pipe, pipe((int[2]){0}))                                                                           \
  CALL(socket, socket(AF_UNIX, SOCK_STREAM, 0) >= 0)                                                      \
  CALL(ioctl, ioctl(bad, 0))

#define ON_TIME                                                                                      \
  CALL(nanosleep, nanosleep(&millisecond, NULL))                                                     \
  CALL(nanosleep_of_nothing, nanosleep(&zero, NULL))                                                 \
  CALL(nanosleep_that_is_wrong, nanosleep(&invalid, NULL))                                           \
  CALL(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &millisecond, NULL))                     \
  CALL(clock_nanosleep_until_the_past, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL)) \
  CALL(usleep, usleep(1))                                                                            \
  CALL(usleep_of_nothing, usleep(0))                                                                 \
  CALL(sleep_of_nothing, sleep(0))                                                                   \
  CALL(thrd_sleep, thrd_sleep(&millisecond, NULL))                                                   \
  CALL(sched_yield, sched_yield())                                                                   \
  CALL(syscall_nanosleep, syscall(SYS_nanosleep, &millisecond, NULL))                                \
  CALL(syscall_read, syscall(SYS_read, pipe_[0], buf, 1))                                            \
  CALL(syscall_futex, syscall(SYS_futex, &file_, 128 /* FUTEX_WAIT_PRIVATE */, bad, NULL))

#define ON_THREADS                                                                               \
  CALL(sem_wait, sem_wait(&sem))                                                                 \
  CALL(sem_trywait, sem_trywait(&sem))                                                           \
  CALL(sem_timedwait, sem_timedwait(&sem, &past))                                                \
  CALL(sem_timedwait_that_is_wrong, sem_timedwait(&sem, &invalid))                               \
  CALL(sem_clockwait, sem_clockwait(&sem, CLOCK_MONOTONIC, &past))                               \
  CALL(sem_post, sem_post(&sem))                                                                 \
  CALL(cond_timedwait, locked(pthread_cond_timedwait, &past))                                    \
  CALL(cond_timedwait_that_is_wrong, locked(pthread_cond_timedwait, &invalid))                   \
  CALL(cond_clockwait, locked(clockwait, &past))                                                 \
  CALL(cnd_timedwait, locked(c11_wait, &past))                                                   \
  CALL(cond_signal, pthread_cond_signal(&cond))                                                  \
  CALL(cond_broadcast, pthread_cond_broadcast(&cond))                                            \
  CALL(mutex_lock, pthread_mutex_lock(&mutex))                                                   \
  CALL(mutex_timedlock, pthread_mutex_lock(&mutex) + pthread_mutex_timedlock(&mutex, &past))     \
  CALL(barrier_wait, pthread_barrier_wait(&barrier))                                             \
  CALL(once, pthread_once(&once, nothing))                                                       \
  CALL(rdlock, pthread_rwlock_rdlock(&rwlock))                                                   \
  CALL(wrlock, pthread_rwlock_wrlock(&rwlock))                                                   \
  CALL(timedwrlock, pthread_rwlock_rdlock(&rwlock) + pthread_rwlock_timedwrlock(&rwlock, &past)) \
  CALL(join_of_the_dead, pthread_join(dead, NULL))                                               \
  CALL(tryjoin_of_the_dead, pthread_tryjoin_np(dead, NULL))                                      \
  CALL(timedjoin_of_the_dead, pthread_timedjoin_np(dead, NULL, &past))                           \
  CALL(clockjoin_of_the_dead, pthread_clockjoin_np(dead, NULL, CLOCK_MONOTONIC, &past))          \
  CALL(thrd_join_of_the_dead, thrd_join(dead_too, NULL))                                         \
  CALL(timedjoin, pthread_timedjoin_np(alive, NULL, &past))                                      \
  CALL(tryjoin, pthread_tryjoin_np(alive, NULL))                                                 \
  CALL(join_of_oneself, pthread_join(pthread_self(), NULL))                                      \
  CALL(detach, pthread_detach(dead))                                                             \
  CALL(testcancel, (pthread_testcancel(), 0))

#define ON_SIGNALS                                                    \
  CALL(pthread_kill, pthread_kill(pthread_self(), 0))                 \
  CALL(pthread_sigmask, pthread_sigmask(SIG_BLOCK, NULL, NULL))       \
  CALL(sigpending, sigpending((sigset_t[1]){none()}))                 \
  CALL(sigwait, sigwait((sigset_t[]){usr1()}, (int[1]){0}))           \
  CALL(sigwaitinfo, sigwaitinfo((sigset_t[]){usr1()}, NULL))          \
  CALL(sigtimedwait, sigtimedwait((sigset_t[]){none()}, NULL, &zero)) \
  CALL(raise, raise(SIGURG))

#define ON_PROCESSES                                               \
  CALL(wait, wait(NULL))                                           \
  CALL(waitpid, waitpid(-1, NULL, 0))                              \
  CALL(waitpid_without_waiting, waitpid(-1, NULL, WNOHANG))        \
  CALL(waitid, waitid(P_ALL, 0, NULL, WEXITED))                    \
  CALL(wait3, wait3(NULL, 0, NULL))                                \
  CALL(wait4, wait4(-1, NULL, 0, NULL))                            \
  CALL(msgrcv, msgrcv(bad, buf, 1, 0, 0))                          \
  CALL(msgsnd, msgsnd(bad, buf, 1, 0))                             \
  CALL(semop, semop(bad, (struct sembuf[1]){{0}}, 1))              \
  CALL(mq_receive, mq_receive(bad, buf, 1, NULL))                  \
  CALL(mq_timedreceive, mq_timedreceive(bad, buf, 1, NULL, &past)) \
  CALL(mq_send, mq_send(bad, buf, 1, 0))                           \
  CALL(system, system("true"))                                     \
  CALL(getpid, getpid() > 0)

// Those that would wait for ever.
#define WITHOUT_END                                        \
  CALL(pause, pause())                                     \
  CALL(sigsuspend, sigsuspend((sigset_t[]){none()}))       \
  CALL(cond_wait, locked(for_ever, NULL))                  \
  CALL(sem_wait_for_ever, sem_wait(&sem) + sem_wait(&sem)) \
  CALL(read_for_ever, read(pair_[1], buf, 1))              \
  CALL(poll_for_ever, poll(NULL, 0, -1))                   \
  CALL(join, pthread_join(alive, NULL))                    \
  CALL(sleep, (int)sleep(1000))

#define ALL ON_DESCRIPTORS ON_TIME ON_THREADS ON_SIGNALS ON_PROCESSES WITHOUT_END
#define CALL(name, expression) of_##name,
enum { ALL kCalls, kFirstWithoutEnd = of_pause };
#undef CALL
#define CALL(name, expression) #name,
static const char* const names[] = {ALL};
#undef CALL

static int which, disabled, report_to;

static void report(const char* what, long result, int error) {
  dprintf(report_to, "%s %ld %d\n", what, result, error);
}

static void cancelled(void* unused) {
  (void)unused;
  report("cancelled", 0, 0);
}

static long call(void) {
  switch (which) {
#define CALL(name, expression) \
  case of_##name:              \
    return (long)(expression);
    ALL
#undef CALL
  }
  return 0;
}

static void* be_cancelled(void* unused) {
  pthread_cleanup_push(cancelled, NULL);
  if (disabled) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  pthread_cancel(pthread_self());
  errno = 0;
  long result = call();
  int error = result < 0 ? errno : 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  report("result", result, error);
  _exit(0);
  pthread_cleanup_pop(0);
  return unused;
}

static void* end(void* unused) {
  return unused;
}
static int end_too(void* unused) {
  (void)unused;
  return 0;
}
static void* live(void* unused) {
  while (sleep(1000) == 0) {
  }
  return unused;
}

static void await_death(pthread_t thread) {
  char name[16];
  while (pthread_getname_np(thread, name, sizeof name) == 0) sched_yield();
}

static void prepare(void) {
  sigset_t blocked = usr1();
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  kill(getpid(), SIGUSR1);
  signal(SIGURG, SIG_IGN);
  char name[] = "cancellation_points_XXXXXX";
  if (pipe(pipe_) != 0 || write(pipe_[1], "abcdef", 6) != 6) abort();
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair_) != 0 || write(pair_[1], "abcdef", 6) != 6) abort();
  epoll_ = epoll_create1(0);
  file_ = memfd_create(name, 0);
  if (write(file_, "abc", 3) != 3 || lseek(file_, 0, SEEK_SET) != 0) abort();
  sem_init(&sem, 0, 1);
  pthread_barrier_init(&barrier, NULL, 1);
  pthread_create(&dead, NULL, end, NULL);
  pthread_create(&alive, NULL, live, NULL);
  thrd_create(&dead_too, end_too, NULL);
  await_death(dead);
  await_death(dead_too);
}

static void try(int by_main) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  pid_t child = fork();
  if (child < 0) abort();
  if (child == 0) {
    report_to = ends[1];
    alarm(10);
    prepare();
    if (by_main) be_cancelled(NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, be_cancelled, NULL);
    pthread_join(thread, NULL);
    _exit(0);
  }
  close(ends[1]);
  char line[100] = "it died\n";
  FILE* from = fdopen(ends[0], "r");
  if (fgets(line, sizeof line, from) == NULL) strcpy(line, "it died\n");
  fclose(from);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  printf("%-32s %s %s: %s", names[which], by_main ? "main  " : "thread", disabled ? "disabled" : "enabled ", line);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (which = 0; which < kCalls; ++which)
    for (int by_main = 0; by_main < 2; ++by_main)
      for (disabled = 0; disabled < (which < kFirstWithoutEnd ? 2 : 1); ++disabled) try(by_main);
  return 0;
}
