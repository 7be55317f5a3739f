// SPDX-License-Identifier: Apache-2.0
// What a thread finds of all that libc and the kernel keep for a thread, after another one has changed it and ended, in
// every way in which threads end. Threads come one after the other, so that each is likely to live where the last did.
// It finds what the first of all threads found, or what its creator has.
#include <arpa/inet.h>
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include <string>

namespace {

thread_local int filled = 42;
thread_local char zeros[64];
pthread_key_t key, key_of_another_block;
const void* mains_resolver;
locale_t other_locale;

std::string Number(long n) {
  return std::to_string(n);
}

struct Piece {
  const char* name;
  void (*change)();
  std::string (*look)();
};

void BlockAndSend(int sig) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, sig);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  pthread_kill(pthread_self(), sig);
}

int CancelState() {
  int state;
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
  return state;
}
int CancelType() {
  int type;
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
  return type;
}

const Piece kPieces[] = {
    {"errno", [] { errno = EDOM; }, [] { return Number(errno); }},
    {"h_errno", [] { h_errno = TRY_AGAIN; }, [] { return Number(h_errno); }},
    {"the locale", [] { uselocale(other_locale); },
     [] { return Number(uselocale(nullptr) == LC_GLOBAL_LOCALE) + localeconv()->decimal_point; }},
    {"classes of characters", [] { uselocale(other_locale); },
     [] {
       return Number(isalpha('x') != 0) + Number(toupper('x')) + Number(tolower('X')) + Number(isalpha(0xe4) != 0);
     }},
    {"an error of dlopen, unread", [] { dlopen("/nonexistent/library.so", RTLD_NOW); },
     [] { return std::string(dlerror() == nullptr ? "none" : "one"); }},
    {"an error of dlsym, read once",
     [] {
       dlsym(RTLD_DEFAULT, "there is no such name");
       dlerror();
     },
     [] { return std::string(dlerror() == nullptr ? "none" : "one"); }},
    {"the resolver",
     [] {
       res_init();
       _res.retry = 24;
       _res.options |= RES_DEBUG;
       _res.options &= ~static_cast<unsigned long>(RES_DEBUG);
     },
     // The rest of it is what glibc's last thread there left, without meaning.
     [] { return Number(&_res == mains_resolver) + Number(static_cast<long>(_res.options)); }},
    {"strerror's buffer", [] { strerror(4711); }, [] { return std::string(strerror(4712)) + strerror(EDOM); }},
    {"strsignal's buffer", [] { strsignal(4711); }, [] { return std::string(strsignal(4712)) + strsignal(SIGHUP); }},
    {"inet_ntoa's buffer", [] { inet_ntoa({0x04030201}); }, [] { return std::string(inet_ntoa({0x01020304})); }},
    {"thread_local, filled", [] { filled = 7; }, [] { return Number(filled); }},
    {"thread_local, zeros", [] { memset(zeros, 1, sizeof zeros); }, [] { return Number(zeros[0] + zeros[63]); }},
    {"thread-specific data",
     [] {
       pthread_setspecific(key, &key);
       pthread_setspecific(key_of_another_block, &key);
     },
     [] {
       return Number(pthread_getspecific(key) != nullptr) +
              Number(pthread_getspecific(key_of_another_block) != nullptr);
     }},
    {"the signal mask",
     [] {
       sigset_t all;
       sigfillset(&all);
       pthread_sigmask(SIG_SETMASK, &all, nullptr);
     },
     [] {
       sigset_t mask;
       pthread_sigmask(SIG_SETMASK, nullptr, &mask);
       std::string text;
       for (int sig = 1; sig < 65; ++sig) text += sigismember(&mask, sig) == 1 ? '1' : '0';
       return text;
     }},
    {"pending signals",
     [] {
       BlockAndSend(SIGUSR2);
       BlockAndSend(SIGRTMIN + 3);
     },
     [] {
       sigset_t pending;
       sigpending(&pending);
       return Number(sigismember(&pending, SIGUSR2)) + Number(sigismember(&pending, SIGRTMIN + 3));
     }},
    {"the alternate stack",
     [] {
       static char stack[65536];
       stack_t alternate{};
       alternate.ss_sp = stack;
       alternate.ss_size = sizeof stack;
       sigaltstack(&alternate, nullptr);
     },
     [] {
       stack_t alternate;
       sigaltstack(nullptr, &alternate);
       return Number(alternate.ss_flags);
     }},
    {"the name", [] { pthread_setname_np(pthread_self(), "changed"); },
     [] {
       char name[16], kernels[16];
       pthread_getname_np(pthread_self(), name, sizeof name);
       prctl(PR_GET_NAME, kernels);
       return std::string(name) + kernels;
     }},
    {"rounding", [] { fesetround(FE_UPWARD); }, [] { return Number(fegetround()); }},
    {"floating-point traps", [] { feenableexcept(FE_DIVBYZERO); }, [] { return Number(fegetexcept()); }},
    {"the policy",
     [] {
       const sched_param none{};
       pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
     },
     [] {
       int policy;
       sched_param param;
       pthread_getschedparam(pthread_self(), &policy, &param);
       return Number(policy) + Number(param.sched_priority) + Number(sched_getscheduler(0));
     }},
    {"CPUs",
     [] {
       cpu_set_t one;
       sched_getaffinity(0, sizeof one, &one);
       int first = 0;
       while (!CPU_ISSET(first, &one)) ++first;
       CPU_ZERO(&one);
       CPU_SET(first, &one);
       sched_setaffinity(0, sizeof one, &one);
     },
     [] {
       cpu_set_t cpus;
       sched_getaffinity(0, sizeof cpus, &cpus);
       return Number(CPU_COUNT(&cpus));
     }},
    {"random numbers",
     [] {
       char byte;
       if (getrandom(&byte, 1, 0) != 1) abort();
     },
     [] {
       char byte;
       return Number(getrandom(&byte, 1, 0));
     }},
    {"cancellation's type", [] { pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr); },
     [] { return Number(CancelType()); }},
    {"cancellation's state", [] { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr); },
     [] { return Number(CancelState()); }},
};
constexpr int kAll = sizeof kPieces / sizeof kPieces[0];

enum End { kReturns, kExits, kIsCancelled, kDetached, kEnds };
const char* const kEndNames[] = {"returns", "exits", "is cancelled", "is detached"};

struct Job {
  int piece;  // or kAll
  End end;
};

void* Change(void* argument) {
  const Job job = *static_cast<Job*>(argument);
  if (job.end == kDetached) free(argument);
  for (int i = 0; i < kAll; ++i)
    if (job.piece == i || job.piece == kAll) kPieces[i].change();
  if (job.end == kExits) pthread_exit(nullptr);
  if (job.end == kIsCancelled) {
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
    pthread_cancel(pthread_self());
    pthread_testcancel();
  }
  return nullptr;
}

void RunChange(int piece, End end) {
  pthread_t thread;
  auto* job = static_cast<Job*>(malloc(sizeof(Job)));
  *job = {piece, end};
  pthread_create(&thread, nullptr, Change, job);
  if (end == kDetached) {
    pthread_detach(thread);
    sched_yield();
    return;
  }
  pthread_join(thread, nullptr);
  free(job);
}

struct Found {
  std::string of[kAll];
};

void* Look(void* argument) {
  auto* found = static_cast<Found*>(argument);
  for (int i = 0; i < kAll; ++i) found->of[i] = kPieces[i].look();
  return nullptr;
}

Found RunLook() {
  Found found;
  pthread_t thread;
  pthread_create(&thread, nullptr, Look, &found);
  pthread_join(thread, nullptr);
  return found;
}

int Check(const Found& fresh, int piece, End end) {
  int bad = 0;
  const Found found = RunLook();
  for (int i = 0; i < kAll; ++i) {
    if (found.of[i] == fresh.of[i]) continue;
    ++bad;
    printf("after %s was changed by a thread that %s, %s: %s, not %s\n", piece == kAll ? "all" : kPieces[piece].name,
           kEndNames[end], kPieces[i].name, found.of[i].c_str(), fresh.of[i].c_str());
  }
  return bad;
}

}  // namespace

int main() {
  mains_resolver = &_res;
  _res.retry = 12;
  other_locale = newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
  pthread_key_create(&key, nullptr);
  for (int i = 0; i < 40; ++i) pthread_key_create(&key_of_another_block, nullptr);
  fesetround(FE_DOWNWARD);
  const Found fresh = RunLook();
  int bad = 0;
  for (int end = 0; end < kEnds; ++end)
    for (int piece = 0; piece <= kAll; ++piece) {
      RunChange(piece, static_cast<End>(end));
      bad += Check(fresh, piece, static_cast<End>(end));
      bad += Check(fresh, piece, static_cast<End>(end));
    }
  if (_res.retry != 12) ++bad;
  printf("%d pieces, %d ends: %d found changed\n", kAll, static_cast<int>(kEnds), bad);
  return bad != 0;
}
