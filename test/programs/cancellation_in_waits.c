// SPDX-License-Identifier: Apache-2.0
// A thread, and main, cancelled as it begins to wait and while it waits, in every kind of wait: enabled, disabled and
// asynchronous. Where the cancellation does not act the wait goes on until it is released, and gives what it would have
// given. Then the thread is joined, main too. Writes what became of each.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kSecond = 1000000000 };
enum { kEnabled, kDisabled, kAsynchronous };
static const char* const kinds[] = {"enabled", "disabled", "asynchronous"};
static int which, kind, by_main;
static int is_point(void);

static int in, out, listener, epoll_, lock_file, full_in, full_out;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t sem, once_began, once_may_end, other_may_end;
static pthread_t other;
static int signalled;
static pid_t child;
static char buf[100000], locked_file[40];
static struct iovec iov = {buf, 1};
static struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

static struct timespec after(clockid_t clock, long ns) {
  struct timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += ns;
  t.tv_sec += t.tv_nsec / kSecond;
  t.tv_nsec %= kSecond;
  return t;
}
// Not to be outlasted by a wait that a cancellation ends, and short for the others.
static struct timespec a_while(void) {
  return kind == kDisabled ? (struct timespec){0, 30000000} : (struct timespec){60, 0};
}
static struct timespec later(void) {
  return after(CLOCK_REALTIME, kind == kDisabled || (kind == kEnabled && !is_point()) ? 30000000 : 60L * kSecond);
}
static struct timespec far(void) {
  return after(CLOCK_REALTIME, 60L * kSecond);
}

static void unlock(void* m) {
  pthread_mutex_unlock(m);
}
static long wait_cond(const struct timespec* until) {
  volatile int error_of_wait = 0;
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(unlock, &mutex);  // it holds the mutex, however it ends
  while (!signalled && error_of_wait == 0)
    error_of_wait = until != NULL ? pthread_cond_timedwait(&cond, &mutex, until) : pthread_cond_wait(&cond, &mutex);
  pthread_cleanup_pop(1);
  return error_of_wait;
}
static long one_file_of(int fd) {
  if (fd < 0) return fd;
  close(fd);
  return 1;
}
static void once_slow(void) {
  sem_post(&once_began);
  while (sem_wait(&once_may_end) != 0) {
  }
}
static long wait_once(void) {
  return pthread_once(&once, once_slow);
}
static sigset_t of_usr2(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return set;
}
static fd_set set_of(int fd) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  return set;
}

static void put(void) {
  if (write(out, "x", 1) != 1) abort();
}
static void make_room(void) {
  while (read(full_in, buf, sizeof buf) > 0) {
  }
}
static void join_in(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) abort();
}
static void post(void) {
  sem_post(&sem);
}
static void signal_it(void) {
  pthread_mutex_lock(&mutex);
  signalled = 1;
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&mutex);
}
static void arrive(void) {
  pthread_barrier_wait(&barrier);
}
static void end_once(void) {
  sem_post(&once_may_end);
}
static void end_other(void) {
  sem_post(&other_may_end);
}
static void end_child(void) {
  if (child <= 0) abort();
  kill(child, SIGKILL);
}
static void unlock_file(void) {
  flock(lock_file, LOCK_UN);
}
static void send_usr2(void) {
  kill(getpid(), SIGUSR2);
}
static void time_passes(void) {}

// WAIT(name, expression, how it is released)
#define ALL                                                                                                       \
  WAIT(read, read(in, buf, 1), put)                                                                               \
  WAIT(readv, readv(in, &iov, 1), put)                                                                            \
  WAIT(recv, recv(in, buf, 1, 0), put)                                                                            \
  WAIT(recvfrom, recvfrom(in, buf, 1, 0, NULL, NULL), put)                                                        \
  WAIT(recvmsg, recvmsg(in, &message, 0), put)                                                                    \
  WAIT(recvmmsg, recvmmsg(in, (struct mmsghdr[]){{.msg_hdr = message}}, 1, 0, NULL), put)                         \
  WAIT(write, write(full_out, buf, 1), make_room)                                                                 \
  WAIT(send, send(full_out, buf, 1, 0), make_room)                                                                \
  WAIT(writev, writev(full_out, &iov, 1), make_room)                                                              \
  WAIT(sendmsg, sendmsg(full_out, &message, 0), make_room)                                                        \
  WAIT(accept, one_file_of(accept(listener, NULL, NULL)), join_in)                                                \
  WAIT(accept4, one_file_of(accept4(listener, NULL, NULL, SOCK_CLOEXEC)), join_in)                                \
  WAIT(poll, poll((struct pollfd[]){{in, POLLIN, 0}}, 1, -1), put)                                                \
  WAIT(ppoll, ppoll((struct pollfd[]){{in, POLLIN, 0}}, 1, NULL, (sigset_t[]){of_usr2()}), put)                   \
  WAIT(poll_for_a_while, poll(NULL, 0, kind == kDisabled ? 30 : 60000), time_passes)                              \
  WAIT(select, select(in + 1, (fd_set[]){set_of(in)}, NULL, NULL, NULL), put)                                     \
  WAIT(pselect, pselect(in + 1, (fd_set[]){set_of(in)}, NULL, NULL, NULL, (sigset_t[]){of_usr2()}), put)          \
  WAIT(epoll_wait, epoll_wait(epoll_, (struct epoll_event[1]){{0}}, 1, -1), put)                                  \
  WAIT(epoll_pwait, epoll_pwait(epoll_, (struct epoll_event[1]){{0}}, 1, -1, (sigset_t[]){of_usr2()}), put)       \
  WAIT(nanosleep, nanosleep((struct timespec[]){a_while()}, NULL), time_passes)                                   \
  WAIT(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, (struct timespec[]){a_while()}, NULL), time_passes)   \
  WAIT(clock_nanosleep_until, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, (struct timespec[]){later()}, NULL), \
       time_passes)                                                                                               \
  WAIT(usleep, usleep(kind == kDisabled ? 30000 : 900000), time_passes)                                           \
  WAIT(sleep, sleep(kind == kDisabled ? 1 : 60), time_passes)                                                     \
  WAIT(sem_wait, sem_wait(&sem), post)                                                                            \
  WAIT(sem_timedwait, sem_timedwait(&sem, (struct timespec[]){far()}), post)                                      \
  WAIT(sem_timedwait_for_a_while, sem_timedwait(&sem, (struct timespec[]){later()}), time_passes)                 \
  WAIT(cond_wait, wait_cond(NULL), signal_it)                                                                     \
  WAIT(cond_timedwait, wait_cond((struct timespec[]){far()}), signal_it)                                          \
  WAIT(cond_timedwait_for_a_while, wait_cond((struct timespec[]){later()}), time_passes)                          \
  WAIT(mutex_lock, pthread_mutex_lock(&held), end_other)                                                          \
  WAIT(mutex_timedlock, pthread_mutex_timedlock(&held, (struct timespec[]){later()}), time_passes)                \
  WAIT(rdlock, pthread_rwlock_rdlock(&rwlock), end_other)                                                         \
  WAIT(wrlock, pthread_rwlock_wrlock(&rwlock), end_other)                                                         \
  WAIT(barrier_wait, pthread_barrier_wait(&barrier) <= 0, arrive)                                                 \
  WAIT(once, wait_once(), end_once)                                                                               \
  WAIT(join, pthread_join(other, NULL), end_other)                                                                \
  WAIT(timedjoin, pthread_timedjoin_np(other, NULL, (struct timespec[]){later()}), time_passes)                   \
  WAIT(sigwait, sigwait((sigset_t[]){of_usr2()}, (int[]){0}), send_usr2)                                          \
  WAIT(sigwaitinfo, sigwaitinfo((sigset_t[]){of_usr2()}, NULL), send_usr2)                                        \
  WAIT(sigtimedwait, sigtimedwait((sigset_t[]){of_usr2()}, NULL, (struct timespec[]){a_while()}), time_passes)    \
  WAIT(waitpid, waitpid(child, NULL, 0) == child, end_child)                                                      \
  WAIT(flock, flock(open(locked_file, O_RDONLY), LOCK_EX), unlock_file)

#define WAIT(name, expression, release) in_##name,
enum { ALL kWaits };
#undef WAIT
#define WAIT(name, expression, release) #name,
static const char* const names[] = {ALL};
#undef WAIT
#define WAIT(name, expression, release) release,
static void (*const releases[])(void) = {ALL};
#undef WAIT

static sem_t ready, cancelled;
static volatile int cleaned;
static volatile long result = -100;
static volatile int error;

static int is_point(void) {
  return which != in_mutex_lock && which != in_mutex_timedlock && which != in_rdlock && which != in_wrlock &&
         which != in_barrier_wait && which != in_once && which != in_flock;
}

static void clean_up(void* unused) {
  (void)unused;
  ++cleaned;
}

static long wait_in_it(void) {
  switch (which) {
#define WAIT(name, expression, release) \
  case in_##name:                       \
    return (long)(expression);
    ALL
#undef WAIT
  }
  return 0;
}

static void* be_cancelled(void* unused) {
  pthread_cleanup_push(clean_up, NULL);
  if (kind == kDisabled) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  sem_post(&ready);
  if (kind == kAsynchronous) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  errno = 0;
  long got = wait_in_it();
  error = got < 0 ? errno : 0;
  result = got;
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
  while (kind == kDisabled && sem_wait(&cancelled) != 0) {
  }
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  for (;;) pause();
  pthread_cleanup_pop(0);
  return unused;
}

static void* cancel(void* victim) {
  void* end = NULL;
  while (sem_wait(&ready) != 0) {
  }
  usleep(which % 2 == 0 ? 3000 : 1);
  pthread_cancel((pthread_t)victim);
  usleep(which % 3 == 0 ? 3000 : 1);
  sem_post(&cancelled);
  // Nothing is released where the cancellation is to act.
  if (kind == kDisabled || (kind == kEnabled && !is_point())) releases[which]();
  int joined = pthread_join((pthread_t)victim, &end);
  printf("%-28s %-6s %-12s: join %d, %s, %d cleaned up, result %ld %d\n", names[which], by_main ? "main" : "thread",
         kinds[kind], joined, end == PTHREAD_CANCELED ? "cancelled" : "not cancelled", cleaned, result, error);
  fflush(stdout);
  if (child > 0) end_child();
  if (!by_main) _exit(0);
  end_other();
  end_once();
  return NULL;  // the last thread: exit(0), with what is to be done at exit
}

static void* be_other(void* unused) {
  while (sem_wait(&other_may_end) != 0) {
  }
  return unused;
}
static void* be_in_once(void* unused) {
  wait_once();
  return unused;
}
static void* take_all(void* unused) {
  pthread_mutex_lock(&held);
  pthread_rwlock_wrlock(&rwlock);
  sem_post(&once_began);
  while (sem_wait(&other_may_end) != 0) {
  }
  pthread_mutex_unlock(&held);
  pthread_rwlock_unlock(&rwlock);
  return unused;
}

static void at_exit(void) {
  if (by_main) puts("  exit handlers ran");
}

static void prepare(void) {
  int pair[2], full[2];
  sigset_t blocked = of_usr2();
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  atexit(at_exit);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, full) != 0) abort();
  in = pair[0], out = pair[1], full_in = full[0], full_out = full[1];
  fcntl(full_in, F_SETFL, O_NONBLOCK);
  while (send(full_out, buf, sizeof buf, MSG_DONTWAIT) > 0 || send(full_out, buf, 1, MSG_DONTWAIT) > 0) {
  }
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "libmn cancellation in waits %d", getpid());
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 5) != 0) abort();
  epoll_ = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, in, &event);
  lock_file = memfd_create("lock", 0);
  snprintf(locked_file, sizeof locked_file, "/proc/self/fd/%d", lock_file);
  flock(lock_file, LOCK_EX);
  pthread_barrier_init(&barrier, NULL, 2);
  sem_init(&sem, 0, 0);
  sem_init(&ready, 0, 0);
  sem_init(&cancelled, 0, 0);
  sem_init(&once_began, 0, 0);
  sem_init(&once_may_end, 0, 0);
  sem_init(&other_may_end, 0, 0);
  if (which == in_waitpid && (child = fork()) == 0) {
    alarm(20);
    for (;;) pause();
  }
  pthread_t thread;
  if (which == in_join || which == in_timedjoin) pthread_create(&other, NULL, be_other, NULL);
  if (which == in_once) pthread_create(&thread, NULL, be_in_once, NULL);
  if (which == in_rdlock || which == in_wrlock || which == in_mutex_lock || which == in_mutex_timedlock)
    pthread_create(&thread, NULL, take_all, NULL);
  else if (which != in_once)
    return;
  while (sem_wait(&once_began) != 0) {
  }
}

static void run(void) {
  pid_t pid = fork();
  if (pid < 0) abort();
  if (pid == 0) {
    alarm(20);
    prepare();
    pthread_t thread, canceller;
    if (by_main) {
      pthread_create(&canceller, NULL, cancel, (void*)pthread_self());
      be_cancelled(NULL);
      pthread_exit(NULL);
    }
    pthread_create(&thread, NULL, be_cancelled, NULL);
    cancel((void*)thread);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (status != 0) printf("%s %s %s: status %x\n", names[which], by_main ? "main" : "thread", kinds[kind], status);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (which = 0; which < kWaits; ++which)
    for (by_main = 0; by_main < 2; ++by_main)
      for (kind = kEnabled; kind <= kAsynchronous; ++kind) run();
  return 0;
}
