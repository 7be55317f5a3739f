// SPDX-License-Identifier: Apache-2.0
// deadlock CASE: programs whose threads wait for each other for ever, and programs that only look so: these are woken,
// by what a careless observer would overlook, and end with status 0.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t sem, other_sem;

// Long beside the time in which a deadlock is found.
static const struct timespec a_while = {0, 700 * 1000 * 1000};

static pthread_t start(void* (*function)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, NULL) != 0) _exit(1);
  return thread;
}

static void wait_for(sem_t* s) {
  while (sem_wait(s) != 0) {
  }
}

// --- deadlocks

__attribute__((visibility("default"))) void* lock_b_then_a(void* arg) {
  pthread_setname_np(pthread_self(), "b-then-a");
  pthread_mutex_lock(&b);
  sem_post(&sem);
  pthread_mutex_lock(&a);
  return arg;
}
static void mutexes(void) {
  pthread_mutex_lock(&a);
  start(lock_b_then_a);
  wait_for(&sem);
  pthread_mutex_lock(&b);
}

static void* wait_never(void* arg) {
  pthread_mutex_lock(&a);
  for (;;) pthread_cond_wait(&never, &a);
  return arg;
}
static void join(void) {
  pthread_join(start(wait_never), NULL);
}
static pthread_t ring[3];
static void* join_next(void* arg) {
  wait_for(&sem);
  pthread_join(ring[(long)arg], NULL);
  return arg;
}
// Each joins the next, main the first of them.
static void joins(void) {
  for (long i = 0; i < 3; i++)
    if (pthread_create(&ring[i], NULL, join_next, (void*)((i + 1) % 3)) != 0) exit(1);
  for (int i = 0; i < 3; i++) sem_post(&sem);
  wait_for(&other_sem);
}
static void main_has_ended(void) {
  for (int i = 0; i < 3; i++) start(wait_never);
  pthread_exit(NULL);
}

static void* wait_at_barrier(void* arg) {
  pthread_barrier_wait(&barrier);
  return arg;
}
static void* wait_for_sem(void* arg) {
  wait_for(&sem);
  return arg;
}
static void* write_lock(void* arg) {
  pthread_rwlock_wrlock(&rwlock);
  return arg;
}
static void all_kinds(void) {
  pthread_rwlock_rdlock(&rwlock);
  start(wait_at_barrier);
  start(write_lock);
  start(wait_for_sem);
  pthread_join(start(wait_never), NULL);
}

// A thread that is wired waits by other means.
static void* wait_wired(void* arg) {
  struct sched_param param = {0};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
  wait_for(&sem);
  return arg;
}
static void wired(void) {
  pthread_join(start(wait_wired), NULL);
}

// --- none

static void* sleep_and_post(void* arg) {
  nanosleep(&a_while, NULL);
  sem_post(&sem);
  return arg;
}
static void sleeper(void) {
  start(sleep_and_post);
  wait_for(&sem);
}

static void* timed_wait(void* arg) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1;
  while (sem_timedwait(&other_sem, &until) != 0 && errno != ETIMEDOUT) {
  }
  sem_post(&sem);
  return arg;
}
static void timed(void) {
  start(timed_wait);
  wait_for(&sem);
}
static void* timed_wait_wired(void* arg) {
  struct sched_param param = {0};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
  return timed_wait(arg);
}
static void timed_wired(void) {
  start(timed_wait_wired);
  wait_for(&sem);
}

static int silent[2];
static void* read_and_post(void* arg) {
  char c;
  if (read(silent[0], &c, 1) == 1) sem_post(&sem);
  return arg;
}
static void* poll_and_post(void* arg) {
  struct pollfd descriptor = {silent[0], POLLIN, 0};
  if (poll(&descriptor, 1, -1) == 1) sem_post(&sem);
  return arg;
}
static void* receive_and_post(void* arg) {
  char c;
  if (recv(silent[0], &c, 1, 0) == 1) sem_post(&sem);
  return arg;
}
static void child_sends(void* (*body)(void* arg)) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, silent) != 0) exit(1);
  start(body);
  if (fork() == 0) {
    nanosleep(&a_while, NULL);
    _exit(write(silent[1], "x", 1) != 1);
  }
  wait_for(&sem);
}
static void poller(void) {
  child_sends(poll_and_post);
}
static void receiver(void) {
  child_sends(receive_and_post);
}
static void child_writes(void) {
  if (pipe(silent) != 0) exit(1);
  start(read_and_post);
  if (fork() == 0) {
    nanosleep(&a_while, NULL);
    _exit(write(silent[1], "x", 1) != 1);
  }
  wait_for(&sem);
}

static void* sigwait_and_post(void* arg) {
  sigset_t set;
  int sig;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  if (sigwait(&set, &sig) == 0) sem_post(&sem);
  return arg;
}
static void signal_later(int sig) {
  pid_t parent = getpid();
  if (fork() == 0) {
    nanosleep(&a_while, NULL);
    _exit(kill(parent, sig));
  }
}
static void sigwaiter(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  start(sigwait_and_post);
  signal_later(SIGUSR1);
  wait_for(&sem);
}

static void post(int sig) {
  (void)sig;
  sem_post(&sem);
  sem_post(&other_sem);
}
static void* wait_for_other_sem(void* arg) {
  wait_for(&other_sem);
  return arg;
}
static void handler(void) {
  pthread_t thread = start(wait_for_other_sem);
  signal(SIGUSR1, post);
  signal_later(SIGUSR1);
  wait_for(&sem);
  pthread_join(thread, NULL);
}

// libc makes a thread for it that libmn knows nothing of until it runs.
static void expired(union sigval value) {
  (void)value;
  sem_post(&sem);
}
static void libc_timer(void) {
  struct sigevent event;
  struct itimerspec time = {{0, 0}, a_while};
  timer_t timer;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = expired;
  pthread_t thread = start(wait_for_other_sem);
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &time, NULL) != 0) exit(1);
  wait_for(&sem);
  sem_post(&other_sem);
  pthread_join(thread, NULL);
}

// One of two is always asleep, hardly ever both; on kernel threads of their own no P is seen to move.
static atomic_int over;
static void* play(void* arg) {
  struct sched_param param = {0};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
  while (!over) {
    sem_post(&other_sem);
    wait_for(&sem);
  }
  sem_post(&other_sem);
  return arg;
}
static void ping_pong(void) {
  pthread_t thread = start(play);
  for (time_t end = time(NULL) + 2; time(NULL) < end;) {
    wait_for(&other_sem);
    sem_post(&sem);
  }
  over = 1;
  sem_post(&sem);
  pthread_join(thread, NULL);
}

static void no_threads(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 1;
  while (sem_timedwait(&sem, &until) != 0 && errno != ETIMEDOUT) {
  }
}

static const struct {
  const char* name;
  void (*run)(void);
} cases[] = {
    {"mutexes", mutexes},
    {"join", join},
    {"joins", joins},
    {"main_has_ended", main_has_ended},
    {"all_kinds", all_kinds},
    {"wired", wired},
    {"sleeper", sleeper},
    {"timed", timed},
    {"timed_wired", timed_wired},
    {"child_writes", child_writes},
    {"poller", poller},
    {"receiver", receiver},
    {"sigwaiter", sigwaiter},
    {"handler", handler},
    {"libc_timer", libc_timer},
    {"ping_pong", ping_pong},
    {"no_threads", no_threads},
};

int main(int argc, char** argv) {
  sem_init(&sem, 0, 0);
  sem_init(&other_sem, 0, 0);
  pthread_barrier_init(&barrier, NULL, 2);
  for (size_t i = 0; argc == 2 && i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(argv[1], cases[i].name) != 0) continue;
    cases[i].run();
    return 0;
  }
  return 1;
}
