// SPDX-License-Identifier: Apache-2.0
// Cancellation at any moment of a thread's life: before it begins, after it has ended, while it unwinds, by itself,
// twice, inside a handler. Destructors and clean-up handlers run once; what swallows it ends the process; none is lost
// in hundreds of rounds at random moments, and thousands of cancelled threads leave nothing behind.
#include <dirent.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <random>

#include "../quiet.h"
#include "cancelled.h"

namespace {

pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
sem_t g_sem;
int g_pipe[2];
std::atomic<int> g_passed;

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
    AwaitQuiet();
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
      AwaitQuiet();
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
      for (;;) g_ready = true;
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
  RunParts({{"itself, early, late, twice, in handlers", Wherever}, {"swallowed", Swallow}, {"at random", Rounds}});
  return 0;
}
