// SPDX-License-Identifier: Apache-2.0
// Tests programs that confine themselves by a seccomp filter which lets through what libc needs for what they do, and
// refuses or kills for all else: each thing that threads do, confined before the first thread and after.
#include "confined.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "util.h"

namespace {

using Calls = std::vector<long>;

// Of every program here: threads, memory, and its end.
const Calls kAlways = {SYS_mmap,           SYS_munmap, SYS_mprotect,        SYS_madvise, SYS_brk,
                       SYS_clone,          SYS_clone3, SYS_set_robust_list, SYS_rseq,    SYS_rt_sigaction,
                       SYS_rt_sigprocmask, SYS_exit,   SYS_exit_group,      SYS_futex};

void* Increment(void* number) {
  ++*static_cast<std::atomic<int>*>(number);
  return nullptr;
}

bool Join(pthread_t t) {
  return pthread_join(t, nullptr) == 0;
}

bool Threads() {
  constexpr int kThreads = 20;
  std::atomic<int> ran{0};
  pthread_t threads[kThreads];
  for (pthread_t& t : threads)
    if (pthread_create(&t, nullptr, Increment, &ran) != 0) return false;
  for (pthread_t t : threads)
    if (!Join(t)) return false;
  return ran == kThreads;
}

// Threads that take turns.
struct Turns {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  std::atomic<int> next{0};
};
constexpr int kTakers = 4, kRounds = 50;

void* TakeTurns(void* arg) {
  auto* turns = static_cast<Turns*>(arg);
  int mine = turns->next++;
  for (int i = 0; i < kRounds; ++i) {
    pthread_mutex_lock(&turns->mutex);
    while (turns->turn % kTakers != mine) pthread_cond_wait(&turns->changed, &turns->mutex);
    ++turns->turn;
    pthread_cond_broadcast(&turns->changed);
    pthread_mutex_unlock(&turns->mutex);
  }
  return nullptr;
}

bool ConditionVariables() {
  Turns turns;
  pthread_t threads[kTakers];
  for (pthread_t& t : threads)
    if (pthread_create(&t, nullptr, TakeTurns, &turns) != 0) return false;
  for (pthread_t t : threads)
    if (!Join(t)) return false;
  return turns.turn == kTakers * kRounds;
}

bool Semaphores() {
  struct Pair {
    sem_t there, back;
  } pair;
  sem_init(&pair.there, 0, 0);
  sem_init(&pair.back, 0, 0);
  pthread_t t;
  auto answer = [](void* arg) -> void* {
    auto* p = static_cast<Pair*>(arg);
    for (int i = 0; i < kRounds; ++i) {
      sem_wait(&p->there);
      sem_post(&p->back);
    }
    return nullptr;
  };
  if (pthread_create(&t, nullptr, answer, &pair) != 0) return false;
  for (int i = 0; i < kRounds; ++i) {
    sem_post(&pair.there);
    sem_wait(&pair.back);
  }
  return Join(t);
}

bool Sleeps() {
  pthread_t t;
  auto sleeper = [](void* arg) -> void* {
    timespec ms{0, 1000000};
    *static_cast<int*>(arg) = nanosleep(&ms, nullptr);
    return nullptr;
  };
  int result = -1;
  timespec ms{0, 1000000};
  return pthread_create(&t, nullptr, sleeper, &result) == 0 && nanosleep(&ms, nullptr) == 0 && Join(t) && result == 0;
}

bool TimedWaits() {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  pthread_mutex_lock(&mutex);
  int error = pthread_cond_timedwait(&never, &mutex, &at);
  pthread_mutex_unlock(&mutex);
  return error == ETIMEDOUT;
}

// A thread that computes for longer than any turn, until another has run.
bool Computing() {
  struct Two {
    std::atomic<int> ran{0};
    std::atomic<bool> stop{false};
  } two;
  pthread_t computing, other;
  auto compute = [](void* arg) -> void* {
    while (!static_cast<Two*>(arg)->stop) continue;
    return nullptr;
  };
  auto stop = [](void* arg) -> void* {
    static_cast<Two*>(arg)->stop = true;
    return nullptr;
  };
  return pthread_create(&computing, nullptr, compute, &two) == 0 && pthread_create(&other, nullptr, stop, &two) == 0 &&
         Join(computing) && Join(other);
}

// Descriptors are made before there is a filter.
int g_ends[2];
ssize_t (*g_read)(int, void*, size_t);
ssize_t (*g_write)(int, const void*, size_t);

// A thread waits for what comes while others run.
bool Transfer() {
  pthread_t t;
  auto reader = [](void*) -> void* {
    char byte = 0;
    return g_read(g_ends[0], &byte, 1) == 1 && byte == 'x' ? g_ends : nullptr;
  };
  if (pthread_create(&t, nullptr, reader, nullptr) != 0) return false;
  if (!ConditionVariables() || g_write(g_ends[1], "x", 1) != 1) return false;
  void* result = nullptr;
  pthread_join(t, &result);
  return result != nullptr;
}

bool Reading() {
  g_read = read;
  g_write = write;
  return Transfer();
}
bool Receiving() {
  g_read = [](int fd, void* buf, size_t size) { return recv(fd, buf, size, 0); };
  g_write = [](int fd, const void* buf, size_t size) { return send(fd, buf, size, 0); };
  return Transfer();
}
bool Polling() {
  g_read = [](int fd, void* buf, size_t size) -> ssize_t {
    pollfd p{fd, POLLIN, 0};
    return poll(&p, 1, -1) == 1 && (p.revents & POLLIN) != 0 ? read(fd, buf, size) : -1;
  };
  g_write = write;
  return Transfer();
}
bool PollingMasked() {
  g_read = [](int fd, void* buf, size_t size) -> ssize_t {
    pollfd p{fd, POLLIN, 0};
    sigset_t none;
    sigemptyset(&none);
    return ppoll(&p, 1, nullptr, &none) == 1 ? read(fd, buf, size) : -1;
  };
  g_write = write;
  return Transfer();
}
bool Selecting() {
  g_read = [](int fd, void* buf, size_t size) -> ssize_t {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, nullptr, nullptr, nullptr) == 1 ? read(fd, buf, size) : -1;
  };
  g_write = write;
  return Transfer();
}

void Handler(int) {}

bool Signalling() {
  std::atomic<bool> stop{false};
  pthread_t t;
  auto waiter = [](void* arg) -> void* {
    while (!*static_cast<std::atomic<bool>*>(arg)) {
      timespec ms{0, 1000000};
      nanosleep(&ms, nullptr);
    }
    return nullptr;
  };
  if (pthread_create(&t, nullptr, waiter, &stop) != 0) return false;
  bool sent = true;
  for (int i = 0; i < kRounds; ++i) sent &= pthread_kill(t, SIGUSR1) == 0;
  stop = true;
  return Join(t) && sent;
}

bool Cancelling() {
  pthread_t t;
  auto forever = [](void*) -> void* {
    timespec hour{3600, 0};
    for (;;) nanosleep(&hour, nullptr);
  };
  void* result = nullptr;
  return pthread_create(&t, nullptr, forever, nullptr) == 0 && pthread_cancel(t) == 0 &&
         pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED;
}

bool Masking() {
  pthread_t t;
  auto mask = [](void*) -> void* {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    for (int i = 0; i < kRounds; ++i) {
      pthread_sigmask(SIG_BLOCK, &set, nullptr);
      sched_yield();
      pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    }
    return nullptr;
  };
  return pthread_create(&t, nullptr, mask, nullptr) == 0 && ConditionVariables() && Join(t);
}

bool OwnStack() {
  constexpr size_t kSize = 256 * 1024;
  static char stack[kSize] __attribute__((aligned(4096)));
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstack(&attr, stack, kSize);
  std::atomic<int> ran{0};
  pthread_t t;
  return pthread_create(&t, &attr, Increment, &ran) == 0 && Join(t) && ran == 1;
}

struct Deed {
  const char* name;
  bool (*run)();
  Calls calls;  // that it needs beside
  bool sockets = false;
};

const Deed kDeeds[] = {
    {"Threads", Threads, {}},
    {"OwnStack", OwnStack, {}},
    {"ConditionVariables", ConditionVariables, {}},
    {"Semaphores", Semaphores, {}},
    {"Sleeps", Sleeps, {SYS_clock_nanosleep}},
    {"TimedWaits", TimedWaits, {}},
    {"Computing", Computing, {}},
    {"Reading", Reading, {SYS_read, SYS_write}},
    {"ReadingSockets", Reading, {SYS_read, SYS_write}, true},
    {"Receiving", Receiving, {SYS_recvfrom, SYS_sendto}, true},
    {"Polling", Polling, {SYS_poll, SYS_read, SYS_write}},
    {"PollingMasked", PollingMasked, {SYS_ppoll, SYS_read, SYS_write}},
    {"Selecting", Selecting, {SYS_pselect6, SYS_read, SYS_write}},
    {"Signalling", Signalling, {SYS_tgkill, SYS_getpid, SYS_gettid, SYS_clock_nanosleep, SYS_rt_sigreturn}},
    {"Cancelling",
     Cancelling,
     {SYS_tgkill, SYS_getpid, SYS_gettid, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_clock_nanosleep, SYS_openat, SYS_read,
      SYS_fstat, SYS_newfstatat, SYS_pread64, SYS_close, SYS_readlink}},
    {"Masking", Masking, {SYS_sched_yield}},
};

std::ostream& operator<<(std::ostream& out, const Deed& deed) {
  return out << deed.name;
}

enum class When { kBeforeThreads, kAfterThreads };

// In a child, for a filter is for good. 0: it was right.
int StatusOf(const Deed& deed, When when, const std::vector<sock_filter>& filter, test::How how) {
  pid_t child = fork();
  if (child == 0) {
    int made = deed.sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, g_ends) : pipe(g_ends);
    struct sigaction action {};
    action.sa_handler = Handler;
    sigaction(SIGUSR1, &action, nullptr);
    if (when == When::kAfterThreads && !deed.run()) _exit(3);
    if (made != 0 || !test::Install(filter, how)) _exit(2);
    _exit(deed.run() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

int StatusOf(const Deed& deed, When when, uint32_t other) {
  Calls calls = kAlways;
  calls.insert(calls.end(), deed.calls.begin(), deed.calls.end());
  auto how = when == When::kAfterThreads ? test::How::kEveryThread : test::How::kPrctl;
  return StatusOf(deed, when, test::AllowOnly(calls, other), how);
}

class Confined : public testing::TestWithParam<Deed> {};

INSTANTIATE_TEST_SUITE_P(Programs, Confined, testing::ValuesIn(kDeeds),
                         [](const testing::TestParamInfo<Deed>& info) { return info.param.name; });

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM, kKill = SECCOMP_RET_KILL_PROCESS;

TEST_P(Confined, BeforeThreadsByAFilterThatRefuses) {
  EXPECT_EQ(StatusOf(GetParam(), When::kBeforeThreads, kRefuse), 0);
}

TEST_P(Confined, BeforeThreadsByAFilterThatKills) {
  EXPECT_EQ(StatusOf(GetParam(), When::kBeforeThreads, kKill), 0);
}

TEST_P(Confined, AfterThreadsByAFilterThatRefuses) {
  EXPECT_EQ(StatusOf(GetParam(), When::kAfterThreads, kRefuse), 0);
}

TEST_P(Confined, AfterThreadsByAFilterThatKills) {
  EXPECT_EQ(StatusOf(GetParam(), When::kAfterThreads, kKill), 0);
}

// What libc can do without, or does not call.
const Calls kRefused = {SYS_preadv2,
                        SYS_pwritev2,
                        SYS_recvfrom,
                        SYS_recvmsg,
                        SYS_sendto,
                        SYS_sendmsg,
                        SYS_poll,
                        SYS_fstat,
                        SYS_fcntl,
                        SYS_getsockopt,
                        SYS_epoll_create1,
                        SYS_eventfd2,
                        SYS_epoll_ctl,
                        SYS_epoll_pwait2,
                        SYS_epoll_pwait,
                        SYS_membarrier,
                        SYS_timer_create,
                        SYS_timer_settime,
                        SYS_timer_delete,
                        SYS_tgkill,
                        SYS_getpid,
                        SYS_gettid,
                        SYS_rt_tgsigqueueinfo,
                        SYS_openat,
                        SYS_pread64,
                        SYS_close_range,
                        SYS_sched_yield,
                        SYS_madvise,
                        SYS_mincore,
                        SYS_prlimit64,
                        SYS_prctl,
                        SYS_getuid,
                        SYS_clock_gettime,
                        SYS_sigaltstack,
                        SYS_readlink,

                        SYS_set_robust_list,
                        SYS_sched_getaffinity};

void OneByOne(const Deed& deed, When when, int error) {
  for (long nr : kRefused) {
    if (std::find(deed.calls.begin(), deed.calls.end(), nr) != deed.calls.end()) continue;
    EXPECT_EQ(StatusOf(deed, when, test::RefuseOnly({nr}, error), test::How::kDirectly), 0) << "without call " << nr;
  }
}

TEST_P(Confined, ByOneRefusedCallThatNobodySees) {
  OneByOne(GetParam(), When::kBeforeThreads, EPERM);
}

TEST_P(Confined, ByOneCallThatTheKernelDoesNotHave) {
  OneByOne(GetParam(), When::kBeforeThreads, ENOSYS);
}

}  // namespace
