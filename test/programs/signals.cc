// SPDX-License-Identifier: Apache-2.0
// Signals as POSIX and glibc have them, one line per part: who sends them and to whom, masks, waits, dispositions,
// timers.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "threads.h"

namespace {

void ExpectSeen(int count, int number, int code, const char* what) {
  Expect(t_seen.count == count, what, t_seen.count, count);
  Expect(t_seen.number == number && t_seen.code == code, what, t_seen.number, t_seen.code);
  Expect(t_seen.pid == getpid() && !t_seen.elsewhere, what, t_seen.pid);
  t_seen.count = 0;
}

void Sending() {
  Handle(SIGUSR1, Note, 0);
  const auto to_self = [] {
    t_seen.count = 0;
    pthread_kill(pthread_self(), SIGUSR1);
    ExpectSeen(1, SIGUSR1, SI_TKILL, "pthread_kill");
    raise(SIGUSR1);
    ExpectSeen(1, SIGUSR1, SI_TKILL, "raise");
    pthread_sigqueue(pthread_self(), SIGUSR1, sigval{42});
    ExpectSeen(1, SIGUSR1, SI_QUEUE, "pthread_sigqueue");
    Expect(t_seen.value == 42, "the value");
    Expect(pthread_kill(pthread_self(), 0) == 0 && pthread_kill(pthread_self(), 65) == EINVAL, "pthread_kill");
    Expect(raise(65) == -1 && errno == EINVAL, "raise of no signal");
  };
  to_self();
  Thread(to_self).Join();
  Thread([] {
    t_seen.count = 0;
    tgkill(getpid(), gettid(), SIGUSR1);
    ExpectSeen(1, SIGUSR1, SI_TKILL, "tgkill");
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    ExpectSeen(1, SIGUSR1, SI_TKILL, "SYS_tgkill");
    syscall(SYS_tkill, gettid(), SIGUSR1);
    ExpectSeen(1, SIGUSR1, SI_TKILL, "SYS_tkill");
  }).Join();
  t_seen.count = 0;
  kill(getpid(), SIGUSR1);  // main alone is there
  ExpectSeen(1, SIGUSR1, SI_USER, "kill");
  sigqueue(getpid(), SIGUSR1, sigval{43});
  ExpectSeen(1, SIGUSR1, SI_QUEUE, "sigqueue");
  Expect(t_seen.value == 43, "the value");
}

std::vector<int> g_order;

void Masks() {
  const int low = SIGRTMIN + 1, high = SIGRTMIN + 2;
  for (const int number : {low, high, SIGUSR2})
    Handle(number,
           [](int signal, siginfo_t* info, void*) { g_order.push_back(signal * 100 + info->si_value.sival_int); }, 0,
           {low, high, SIGUSR2});
  const auto check = [&] {
    g_order.clear();
    Mask(SIG_BLOCK, {low, high, SIGUSR2});
    sigset_t pending = Set({});
    for (int i = 1; i <= 3; ++i) {
      pthread_sigqueue(pthread_self(), high, sigval{i});
      pthread_sigqueue(pthread_self(), low, sigval{i});
      pthread_sigqueue(pthread_self(), SIGUSR2, sigval{i});  // the first is kept, the others are lost
    }
    sigpending(&pending);
    Expect(sigismember(&pending, low) == 1 && sigismember(&pending, high) == 1 && sigismember(&pending, SIGHUP) == 0,
           "sigpending");
    Thread([&] {  // it has its creator's mask, and nothing pending
      sigset_t mask, others;
      pthread_sigmask(SIG_BLOCK, nullptr, &mask);
      sigpending(&others);
      Expect(sigismember(&mask, low) == 1 && sigismember(&mask, SIGUSR1) == 0, "an inherited mask");
      Expect(sigisemptyset(&others) == 1, "another thread's pending signals");
    })
        .Join();
    Expect(g_order.empty(), "blocked signals were taken");
    sigset_t old;
    const sigset_t set = Set({low, high, SIGUSR2});
    Check(sigprocmask(SIG_UNBLOCK, &set, &old), "sigprocmask");
    const std::vector<int> expected = {SIGUSR2 * 100 + 1, low * 100 + 1,  low * 100 + 2, low * 100 + 3,
                                       high * 100 + 1,    high * 100 + 2, high * 100 + 3};
    Expect(g_order == expected && sigismember(&old, low) == 1, "their order", static_cast<int64_t>(g_order.size()));
    Expect(pthread_sigmask(99, &set, nullptr) == EINVAL, "pthread_sigmask, how");
  };
  check();
  Thread(check).Join();
  // All threads see what is pending for the process; the first to unblock it takes it.
  Mask(SIG_BLOCK, {low});
  kill(getpid(), low);
  g_order.clear();
  Thread([&] {
    sigset_t pending;
    Await([&] { return sigpending(&pending) == 0 && sigismember(&pending, low) == 1; },
          "the process's pending signals");
    Expect(g_order.empty(), "a blocked signal was taken");
    Mask(SIG_UNBLOCK, {low});
    Expect(g_order.size() == 1, "the process's signal is not taken");
  }).Join();
  Mask(SIG_UNBLOCK, {low});
  Expect(g_order.size() == 1, "it is taken twice");
}

void Waits() {
  const int number = SIGRTMIN + 3;
  const sigset_t set = Set({number, SIGUSR1});
  const timespec none = {0, 0}, a_while = {0, 1'000'000}, long_time = {20, 0};
  Handle(SIGUSR1, Note, 0);
  Mask(SIG_BLOCK, {number, SIGUSR1});
  // Sent to each of many threads that wait, and to the process, where one of them gets each.
  std::atomic<int> sum{0}, got{0};
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 8; ++i)
    threads.push_back(std::make_unique<Thread>([&, i] {
      for (int round = 0; round < 10; ++round) {
        siginfo_t info = {};
        int taken = number;
        if ((i + round) % 3 == 0) {
          Expect(sigwait(&set, &taken) == 0, "sigwait");
        } else {
          do taken = (i + round) % 3 == 1 ? sigwaitinfo(&set, &info) : sigtimedwait(&set, &info, &long_time);
          while (taken == -1 && errno == EINTR);
          Expect(info.si_code == SI_QUEUE && info.si_pid == getpid() && info.si_signo == number, "the siginfo");
          sum += info.si_value.sival_int;
        }
        Expect(taken == number, "sigwait's signal", taken);
        ++got;
      }
      siginfo_t info;
      int taken = 0;  // who wakes up and finds it taken by another has EINTR
      while ((taken = sigtimedwait(&set, &info, &long_time)) == -1) Expect(errno == EINTR, "sigtimedwait");
      Expect(taken == number && info.si_code == SI_QUEUE, "the process's signal", taken, info.si_code);
      ++got;
    }));
  for (int round = 0; round < 10; ++round)
    for (const auto& thread : threads) {
      int error;
      while ((error = pthread_sigqueue(thread->id, number, sigval{1})) == EAGAIN) usleep(500);
      Expect(error == 0, "pthread_sigqueue", error);
    }
  Await([&] { return got == 80; }, "sigwait");
  for (int i = 0; i < 8; ++i) Check(sigqueue(getpid(), number, sigval{1}), "sigqueue");
  threads.clear();
  Expect(got == 88, "the process's signals", got);
  Expect(sigtimedwait(&set, nullptr, &none) == -1 && errno == EAGAIN, "sigtimedwait, none");
  Expect(sigtimedwait(&set, nullptr, &a_while) == -1 && errno == EAGAIN, "sigtimedwait, a while");

  // Descriptors: they give the reader what is pending for it.
  const int fd = Check(signalfd(-1, &set, SFD_NONBLOCK), "signalfd");
  const auto read_fd = [&](int code, int value) {
    pollfd p = {fd, POLLIN, 0};
    signalfd_siginfo info = {};
    Expect(poll(&p, 1, 20000) == 1, "poll of a signalfd", code);
    Expect(read(fd, &info, sizeof info) == sizeof info, "read of a signalfd", code);
    Expect(info.ssi_signo == static_cast<unsigned>(number) && info.ssi_code == code && info.ssi_int == value,
           "signalfd");
    Expect(read(fd, &info, sizeof info) == -1 && errno == EAGAIN, "an empty signalfd");
  };
  Check(sigqueue(getpid(), number, sigval{7}), "sigqueue");
  read_fd(SI_QUEUE, 7);
  Thread([&] {
    Check(sigqueue(getpid(), number, sigval{8}), "sigqueue");
    read_fd(SI_QUEUE, 8);
  }).Join();
  close(fd);

  // sigsuspend has its mask while it waits; pause does not return before a handler has.
  for (const bool suspend : {true, false}) {
    std::atomic<bool> ended{false};
    Thread waiter([&] {
      t_seen.count = 0;
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      sigdelset(&mask, SIGUSR1);
      if (!suspend) pthread_sigmask(SIG_SETMASK, &mask, nullptr);
      Expect((suspend ? sigsuspend(&mask) : pause()) == -1 && errno == EINTR, "sigsuspend");
      Expect(t_seen.count >= 1 && !t_seen.elsewhere, "sigsuspend's handler");
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      Expect(sigismember(&mask, SIGUSR1) == (suspend ? 1 : 0), "the mask after sigsuspend");
      ended = true;
    });
    Await([&] { return pthread_kill(waiter.id, SIGUSR1) == 0 && ended; }, "sigsuspend");
  }
  Mask(SIG_UNBLOCK, {number, SIGUSR1});
}

thread_local int t_depth, t_deepest;

void Nest(int number, siginfo_t*, void*) {
  t_deepest = std::max(t_deepest, ++t_depth);
  if (++t_seen.count < 3) raise(number);
  --t_depth;
}

int Deepest(int flags) {
  t_deepest = t_depth = t_seen.count = 0;
  Handle(SIGUSR1, Nest, flags);
  raise(SIGUSR1);
  return t_deepest;
}

void Flags() {
  const auto nest = [] {
    Expect(Deepest(0) == 1 && t_seen.count == 3, "a handler blocks its signal", t_deepest, t_seen.count);
    Expect(Deepest(SA_NODEFER) == 3, "SA_NODEFER", t_deepest);
    Handle(SIGUSR1, Note, static_cast<int>(SA_RESETHAND));
    raise(SIGUSR1);
    struct sigaction action;
    sigaction(SIGUSR1, nullptr, &action);
    Expect(action.sa_handler == SIG_DFL, "SA_RESETHAND");
    Expect(signal(SIGUSR1, SIG_IGN) == SIG_DFL && raise(SIGUSR1) == 0, "signal");
    const auto handler = [](int) { ++t_seen.count; };
    t_seen.count = 0;
    Expect(signal(SIGUSR1, handler) == SIG_IGN && raise(SIGUSR1) == 0 && raise(SIGUSR1) == 0, "signal");
    Expect(t_seen.count == 2 && signal(SIGUSR1, SIG_DFL) == +handler, "signal's handler");
    sigaction(SIGUSR1, nullptr, &action);
    Expect(signal(SIGKILL, SIG_IGN) == SIG_ERR && errno == EINVAL, "signal of SIGKILL");
  };
  nest();
  Thread(nest).Join();
}

std::atomic<int> g_alarms{0}, g_values{0};

void Alarm(int, siginfo_t* info, void*) {
  g_values += info->si_code == SI_TIMER ? info->si_value.sival_int : 0;
  ++g_alarms;
}

void AwaitAlarms(int count, const char* what) {
  Await([&] { return g_alarms >= count; }, what);
  g_alarms = g_values = 0;
}

void Timers() {
  const itimerspec soon = {{0, 0}, {0, 2'000'000}}, often = {{0, 1'000'000}, {0, 1'000'000}},
                   late = {{0, 0}, {1000, 0}};
  Handle(SIGALRM, Alarm, SA_RESTART);
  alarm(100);
  Expect(alarm(0) > 0, "alarm's rest");
  const itimerval interval = {{0, 1000}, {0, 1000}}, never = {};
  for (const auto& [which, number] :
       {std::pair{ITIMER_REAL, SIGALRM}, {ITIMER_VIRTUAL, SIGVTALRM}, {ITIMER_PROF, SIGPROF}}) {
    Handle(number, Alarm, SA_RESTART);
    g_alarms = 0;
    Check(setitimer(which, &interval, nullptr), "setitimer");
    const int64_t end = NowNs() + kPatienceNs;
    while (g_alarms < 3) Expect(NowNs() < end, "setitimer", which);
    itimerval old;
    Check(setitimer(which, &never, &old), "setitimer");
    Expect(old.it_interval.tv_usec >= 1000, "setitimer, its interval", old.it_interval.tv_usec);
    usleep(1000);
  }
  g_alarms = 0;
  const int64_t begin = NowNs();
  alarm(1);

  sigevent event = {};
  timer_t timer;
  event.sigev_notify = SIGEV_NONE;
  Check(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
  Check(timer_settime(timer, 0, &late, nullptr), "timer_settime");
  itimerspec rest;
  Check(timer_gettime(timer, &rest), "timer_gettime");
  Expect(rest.it_value.tv_sec > 900, "SIGEV_NONE", rest.it_value.tv_sec);
  Check(timer_settime(timer, 0, &soon, nullptr), "timer_settime");
  Await([&] { return timer_gettime(timer, &rest) == 0 && rest.it_value.tv_sec == 0 && rest.it_value.tv_nsec == 0; },
        "SIGEV_NONE");
  Check(timer_delete(timer), "timer_delete");
  Expect(timer_delete(timer) == -1 && errno == EINVAL, "timer_delete, twice");

  // A signal for the process; a thread waits for it, and a handler takes it.
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN + 5;
  event.sigev_value.sival_int = 5;
  Check(timer_create(CLOCK_REALTIME, &event, &timer), "timer_create");
  const sigset_t set = Set({SIGRTMIN + 5});
  Mask(SIG_BLOCK, {SIGRTMIN + 5});
  Thread([&] {
    Check(timer_settime(timer, 0, &often, nullptr), "timer_settime");
    for (int i = 0; i < 3; ++i) {
      siginfo_t info;
      while (sigwaitinfo(&set, &info) == -1) Expect(errno == EINTR, "sigwaitinfo");
      Expect(info.si_code == SI_TIMER && info.si_value.sival_int == 5, "a timer's signal", info.si_code);
    }
    Check(timer_settime(timer, 0, &late, nullptr), "timer_settime");
  }).Join();
  Check(timer_delete(timer), "timer_delete");
  Mask(SIG_UNBLOCK, {SIGRTMIN + 5});

  static std::atomic<int> calls, threads_value;
  event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_value.sival_int = 6;
  event.sigev_notify_function = [](sigval value) {
    threads_value = value.sival_int;
    Thread([] { usleep(100); }).Join();
    ++calls;
  };
  Check(timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
  Check(timer_settime(timer, 0, &often, nullptr), "timer_settime");
  Await([] { return calls >= 3 && threads_value == 6; }, "SIGEV_THREAD");
  Check(timer_delete(timer), "timer_delete");

  // For one kernel thread, which is the thread's.
  Handle(SIGRTMIN + 6, Note, 0);
  Thread([&] {
    sigevent to_me = {};
    timer_t mine;
    to_me.sigev_notify = SIGEV_THREAD_ID;
    to_me.sigev_signo = SIGRTMIN + 6;
    to_me.sigev_value.sival_int = 7;
    to_me._sigev_un._tid = gettid();
    Check(timer_create(CLOCK_MONOTONIC, &to_me, &mine), "timer_create");
    Check(timer_settime(mine, 0, &often, nullptr), "timer_settime");
    Await([] { return t_seen.count >= 3; }, "SIGEV_THREAD_ID");
    Check(timer_delete(mine), "timer_delete");
    Expect(t_seen.code == SI_TIMER && t_seen.value == 7 && !t_seen.elsewhere, "SIGEV_THREAD_ID", t_seen.value);
  }).Join();
  AwaitAlarms(1, "alarm");
  Expect(NowNs() - begin > 900'000'000, "alarm comes early");
}

}  // namespace

int main() {
  RunParts({{"signals are sent", Sending},
            {"masks hold them", Masks},
            {"threads and descriptors wait for them", Waits},
            {"dispositions have flags", Flags},
            {"timers send them", Timers}});
  return 0;
}
