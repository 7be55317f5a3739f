// SPDX-License-Identifier: Apache-2.0
// Cancellation, whatever the thread does: it computes, waits in a call that is no cancellation point or in the kernel,
// has not begun, has ended, cancels itself, is cancelled twice or inside a handler; deferred and asynchronous, enabled
// and not. Destructors and clean-up handlers run once; none is lost in hundreds of rounds at random moments, and
// thousands of cancelled threads leave nothing behind.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <random>
#include <string>

#include "threads.h"

namespace {

std::atomic<int> g_objects{0}, g_made{0};

struct Object {
  Object() {
    ++g_objects;
    ++g_made;
  }
  ~Object() { --g_objects; }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

void SetState(int state) {
  Expect(pthread_setcancelstate(state, nullptr) == 0, "pthread_setcancelstate");
}
void SetType(int type) {
  Expect(pthread_setcanceltype(type, nullptr) == 0, "pthread_setcanceltype");
}

void* Join(pthread_t thread, const char* what) {
  timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 20;
  void* result = nullptr;
  const int error = pthread_timedjoin_np(thread, &result, &end);
  if (error != 0) Fail(what, error);
  return result;
}

void ExpectCancelled(pthread_t thread, const char* what) {
  Expect(Join(thread, what) == PTHREAD_CANCELED, what, 1);
  Expect(g_objects == 0, what, g_objects);
}

// A thread that has an object, and says when it is about to do what it does.
std::atomic<bool> g_ready{false}, g_go_on{false};
pthread_t Start(void (*act)(), bool await = true) {
  g_ready = g_go_on = false;
  pthread_t thread;
  const int error = pthread_create(
      &thread, nullptr,
      [](void* body) -> void* {
        const Object object;
        reinterpret_cast<void (*)()>(body)();
        return nullptr;
      },
      reinterpret_cast<void*>(act));
  Expect(error == 0, "pthread_create", error);
  if (await) Await([] { return g_ready.load(); }, "a thread begins");
  return thread;
}

void Cancel(pthread_t thread) {
  Expect(pthread_cancel(thread) == 0, "pthread_cancel");
}

// Calls that do not act upon it, without and with a wait.
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t g_rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t g_spin;
pthread_barrier_t g_barrier;
pthread_once_t g_once = PTHREAD_ONCE_INIT;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
sem_t g_sem;
int g_files[2], g_pipe[2];

void CallNone() {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  const timespec past = {1, 0};
  void* result;
  pthread_mutex_lock(&g_mutex);
  pthread_mutex_timedlock(&g_mutex, &past);
  pthread_mutex_unlock(&g_mutex);
  pthread_mutex_trylock(&g_mutex);
  pthread_mutex_unlock(&g_mutex);
  pthread_rwlock_rdlock(&g_rwlock);
  pthread_rwlock_timedrdlock(&g_rwlock, &past);
  pthread_rwlock_unlock(&g_rwlock);
  pthread_rwlock_unlock(&g_rwlock);
  pthread_rwlock_wrlock(&g_rwlock);
  pthread_rwlock_timedwrlock(&g_rwlock, &past);
  pthread_rwlock_unlock(&g_rwlock);
  pthread_once(&once, [] {});
  pthread_spin_lock(&g_spin);
  pthread_spin_unlock(&g_spin);
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 1);
  pthread_barrier_wait(&barrier);
  pthread_barrier_destroy(&barrier);
  pthread_cond_signal(&g_cond);
  pthread_cond_broadcast(&g_cond);
  sched_yield();
  sem_post(&g_sem);
  sem_trywait(&g_sem);
  pthread_kill(pthread_self(), 0);
  pthread_tryjoin_np(pthread_self(), &result);
  pthread_setspecific(0, nullptr);
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, nullptr, &set);
  sigpending(&set);
  raise(0);
  kill(getpid(), 0);
  free(malloc(100));
  getppid();
  lseek(g_files[0], 0, SEEK_SET);
  fcntl(g_files[0], F_GETFL);
  flock(g_files[0], LOCK_SH);
  flock(g_files[0], LOCK_UN);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  pthread_t thread;
  pthread_create(
      &thread, nullptr, [](void* p) -> void* { return p; }, nullptr);
  pthread_detach(thread);
  SetType(PTHREAD_CANCEL_DEFERRED);
  SetState(PTHREAD_CANCEL_ENABLE);
}

struct Blocker {
  const char* name;
  void (*act)();
  void (*release)();
};
const Blocker kBlockers[] = {
    {"pthread_mutex_lock",
     [] {
       pthread_mutex_lock(&g_mutex);
       pthread_mutex_unlock(&g_mutex);
     },
     [] { pthread_mutex_unlock(&g_mutex); }},
    {"pthread_mutex_timedlock",
     [] {
       timespec later;
       clock_gettime(CLOCK_REALTIME, &later);
       later.tv_sec += 30;
       Expect(pthread_mutex_timedlock(&g_mutex, &later) == 0, "pthread_mutex_timedlock");
       pthread_mutex_unlock(&g_mutex);
     },
     [] { pthread_mutex_unlock(&g_mutex); }},
    {"pthread_rwlock_rdlock",
     [] {
       pthread_rwlock_rdlock(&g_rwlock);
       pthread_rwlock_unlock(&g_rwlock);
     },
     [] { pthread_rwlock_unlock(&g_rwlock); }},
    {"pthread_rwlock_wrlock",
     [] {
       pthread_rwlock_wrlock(&g_rwlock);
       pthread_rwlock_unlock(&g_rwlock);
     },
     [] { pthread_rwlock_unlock(&g_rwlock); }},
    {"pthread_barrier_wait", [] { pthread_barrier_wait(&g_barrier); }, [] { pthread_barrier_wait(&g_barrier); }},
    {"pthread_once",
     [] {
       pthread_once(&g_once, [] {
         while (!g_go_on) sched_yield();
       });
     },
     [] {}},
    {"pthread_spin_lock",
     [] {
       pthread_spin_lock(&g_spin);
       pthread_spin_unlock(&g_spin);
     },
     [] { pthread_spin_unlock(&g_spin); }},
    {"flock",
     [] {
       Check(flock(g_files[1], LOCK_EX), "flock");
       Check(flock(g_files[1], LOCK_UN), "flock");
     },
     [] { flock(g_files[0], LOCK_UN); }},
    {"sched_yield",
     [] {
       while (!g_go_on) sched_yield();
     },
     [] {}},
};

std::atomic<int> g_blocker, g_passed;

void NoPoints() {
  const auto none = [] {
    Cancel(pthread_self());
    CallNone();
    ++g_passed;
    g_ready = true;
    pthread_testcancel();
  };
  ExpectCancelled(Start(none), "no cancellation points");
  Expect(g_passed == 1, "a call is a cancellation point");
  const int count = static_cast<int>(std::size(kBlockers));
  for (g_blocker = 0; g_blocker < count; ++g_blocker) {
    pthread_mutex_lock(&g_mutex);
    pthread_rwlock_wrlock(&g_rwlock);
    pthread_spin_lock(&g_spin);
    Check(flock(g_files[0], LOCK_EX), "flock");
    const Blocker& blocker = kBlockers[g_blocker];
    const pthread_t thread = Start([] {
      g_ready = true;
      kBlockers[g_blocker].act();
      ++g_passed;
      for (;;) pthread_testcancel();
    });
    usleep(1000);
    Cancel(thread);
    usleep(1000);
    Expect(g_passed == g_blocker + 1, blocker.name, 2);
    g_go_on = true;
    blocker.release();
    ExpectCancelled(thread, blocker.name);
    Expect(g_passed == g_blocker + 2, blocker.name, 3);
    pthread_mutex_trylock(&g_mutex);
    pthread_mutex_unlock(&g_mutex);
    pthread_rwlock_trywrlock(&g_rwlock);
    pthread_rwlock_unlock(&g_rwlock);
    pthread_spin_trylock(&g_spin);
    pthread_spin_unlock(&g_spin);
    Check(flock(g_files[0], LOCK_UN), "flock");
  }
}

// Where it runs and where it blocks, if asynchronous; in frames of their own, see storm.cc.
std::atomic<pid_t> g_child{0};
void (*const kAnywhere[])() = {
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      for (;;) continue;
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      for (;;) sched_yield();
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      syscall(SYS_flock, g_files[1], LOCK_EX);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      flock(g_files[1], LOCK_EX);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      syscall(SYS_wait4, g_child.load(), nullptr, 0, nullptr);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      syscall(SYS_read, g_pipe[0], &g_child, 1);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      sem_wait(&g_sem);
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      g_ready = true;
      for (;;) usleep(100);
    },
};

void Anywhere() {
  Check(flock(g_files[0], LOCK_EX), "flock");
  if ((g_child = Check(fork(), "fork")) == 0) {
    alarm(60);
    for (;;) pause();
  }
  for (const auto act : kAnywhere)
    for (const useconds_t later : {0U, 2000U}) {
      const pthread_t thread = Start(act);
      usleep(later);
      Cancel(thread);
      ExpectCancelled(thread, "an asynchronous cancellation");
    }
  // Asynchronous and disabled: nothing, until it is enabled.
  const pthread_t thread = Start([] {
    int old;
    SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
    SetState(PTHREAD_CANCEL_DISABLE);
    g_ready = true;
    while (!g_go_on) continue;
    Expect(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old) == 0 && old == PTHREAD_CANCEL_ASYNCHRONOUS, "type");
    ++g_passed;
    SetState(PTHREAD_CANCEL_ENABLE);
    for (;;) continue;
  });
  g_passed = 0;
  Cancel(thread);
  usleep(1000);
  g_go_on = true;
  ExpectCancelled(thread, "a cancellation that was disabled");
  Expect(g_passed == 1 && pthread_setcancelstate(7, nullptr) == EINVAL && pthread_setcanceltype(7, nullptr) == EINVAL,
         "disabled");
  kill(g_child, SIGKILL);
  waitpid(g_child, nullptr, 0);
  Check(flock(g_files[0], LOCK_UN), "flock");
}

void Wherever() {
  ExpectCancelled(Start(
                      [] {
                        Cancel(pthread_self());
                        for (;;) pthread_testcancel();
                      },
                      false),
                  "itself");
  ExpectCancelled(Start(
                      [] {
                        SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
                        Cancel(pthread_self());
                        Fail("still here");
                      },
                      false),
                  "itself, at once");
  for (int i = 0; i < 50; ++i) {  // before it begins, and twice
    const pthread_t thread = Start([] { sleep(40); }, false);
    Cancel(thread);
    Cancel(thread);
    ExpectCancelled(thread, "one that has not begun");
  }
  for (const bool cancelled : {false, true}) {  // after it has ended
    const pthread_t thread = Start([] { g_ready = true; });
    if (cancelled) Cancel(thread);
    Await([] { return g_objects == 0; }, "its end");
    usleep(500);
    Cancel(thread);
    Cancel(thread);
    void* result = Join(thread, "one that has ended");
    Expect(result == nullptr, "one that has ended", cancelled);
  }
  // Once it unwinds it is not cancelled again: handlers may call what they like.
  const pthread_t thread = Start([] {
    struct Slow {
      ~Slow() {
        g_ready = true;
        for (int i = 0; i < 10; ++i) usleep(200);
        pthread_testcancel();
        ++g_passed;
      }
    } const slow;
    g_passed = 0;
    Cancel(pthread_self());
    pthread_testcancel();
  });
  for (int i = 0; i < 10; ++i) pthread_cancel(thread);
  ExpectCancelled(thread, "one that unwinds");
  Expect(g_passed == 1, "a destructor was cancelled");
  // catch (...) sees it, and has to pass it on.
  ExpectCancelled(Start(
                      [] {
                        const Object outer;
                        try {
                          const Object inner;
                          Cancel(pthread_self());
                          pthread_testcancel();
                        } catch (...) {
                          ++g_passed;
                          throw;
                        }
                      },
                      false),
                  "catch");
  Expect(g_passed == 2, "catch did not see it");
  // In a handler, of threads that wait and that compute.
  for (const bool asynchronous : {false, true})
    for (void (*const act)() : {+[] {
                                  g_ready = true;
                                  for (;;) sem_wait(&g_sem);
                                },
                                +[] {
                                  g_ready = true;
                                  for (;;) usleep(20'000'000);
                                },
                                +[] {
                                  g_ready = true;
                                  for (char byte;;) (void)!read(g_pipe[0], &byte, 1);
                                }}) {
      Handle(
          SIGUSR1,
          asynchronous ? [](int, siginfo_t*, void*) { pthread_cancel(pthread_self()); }
                       : [](int, siginfo_t*, void*) {
                           pthread_cancel(pthread_self());
                           pthread_testcancel();
                         },
          0);
      const pthread_t waiter = Start(act);
      usleep(500);
      Expect(pthread_kill(waiter, SIGUSR1) == 0, "pthread_kill");
      ExpectCancelled(waiter, "in a handler");
    }
}

// What swallows it, or throws something else, ends the process.
void Swallow() {
  const pid_t child = Check(fork(), "fork");
  if (child == 0) {
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    close(2);
    Check(dup(g_pipe[1]), "dup");
    alarm(60);
    Join(Start(
             [] {
               try {
                 Cancel(pthread_self());
                 pthread_testcancel();
               } catch (...) {
               }
             },
             false),
         "swallowed");
    _exit(1);
  }
  int status = 0;
  Expect(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "its end", status);
  char text[200] = {};
  Expect(read(g_pipe[0], text, sizeof text - 1) > 0 && strcmp(text, "FATAL: exception not rethrown\n") == 0, text);
}

void (*const kActs[])() = {
    [] {
      for (;;) sem_wait(&g_sem);
    },
    [] {
      pthread_mutex_lock(&g_mutex);
      pthread_cleanup_push([](void*) { pthread_mutex_unlock(&g_mutex); }, nullptr);
      for (;;) pthread_cond_wait(&g_cond, &g_mutex);
      pthread_cleanup_pop(0);
    },
    [] {
      for (char byte;;) (void)!read(g_pipe[0], &byte, 1);
    },
    [] {
      for (;;) usleep(50);
    },
    [] {
      for (;;) poll(nullptr, 0, 1);
    },
    [] {
      for (;;) {
        pthread_mutex_lock(&g_mutex);
        pthread_mutex_unlock(&g_mutex);
        pthread_testcancel();
      }
    },
    [] {
      SetType(PTHREAD_CANCEL_ASYNCHRONOUS);
      for (;;) continue;
    },
    [] {
      for (;;) sem_post(&g_sem), sem_wait(&g_sem);
    },
};

int64_t Resident() {
  FILE* file = fopen("/proc/self/statm", "r");
  long size = 0, resident = 0;
  Expect(file != nullptr && fscanf(file, "%ld %ld", &size, &resident) == 2, "statm");
  fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

int Descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  Expect(folder != nullptr, "/proc/self/fd");
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

void Rounds() {
  std::minstd_rand random;
  int64_t resident = 0;
  int descriptors = 0;
  for (int round = 0; round < 250; ++round) {
    if (round == 50) {
      resident = Resident();
      descriptors = Descriptors();
    }
    std::vector<pthread_t> threads;
    for (int i = 0; i < 8; ++i) threads.push_back(Start(kActs[random() % std::size(kActs)], false));
    usleep(static_cast<useconds_t>(random() % 400));
    for (const pthread_t thread : threads) Cancel(thread);
    for (const pthread_t thread : threads) Expect(Join(thread, "a round") == PTHREAD_CANCELED, "a round");
    Expect(g_objects == 0, "objects are left", g_objects);
  }
  Expect(Descriptors() == descriptors, "descriptors", Descriptors(), descriptors);
  Expect(Resident() - resident < 16 << 20, "memory", Resident(), resident);
  Expect(pthread_mutex_trylock(&g_mutex) == 0, "the mutex is left locked");
}

}  // namespace

int main() {
  Check(pipe(g_pipe), "pipe");
  sem_init(&g_sem, 0, 0);
  pthread_spin_init(&g_spin, 0);
  pthread_barrier_init(&g_barrier, nullptr, 2);
  Check(g_files[0] = memfd_create("locked", 0), "memfd_create");
  const std::string path = "/proc/self/fd/" + std::to_string(g_files[0]);
  Check(g_files[1] = open(path.c_str(), O_RDWR), "open");
  struct Part {
    const char* name;
    void (*run)();
  };
  for (const Part& part : {Part{"calls that are no cancellation points", NoPoints},
                           {"asynchronous cancellation", Anywhere},
                           {"itself, early, late, twice, in handlers", Wherever},
                           {"swallowed", Swallow},
                           {"at random", Rounds}}) {
    part.run();
    puts(part.name);
    fflush(stdout);
  }
  return 0;
}
