// SPDX-License-Identifier: Apache-2.0
// When has a thread begun to wait? A program cannot see that of one thread, but it can see that nobody runs: every
// other kernel thread of the process sleeps. Natively those are the threads themselves. Where threads are not kernel
// threads, those that run them sleep only if no thread is left to run; the looks are some turns apart, so that whoever
// is to run does. In C, for tests in either language.
#ifndef TEST_QUIET_H_
#define TEST_QUIET_H_

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// How many kernel threads of this process run or are about to.
static inline int RunningKernelThreads(void) {
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == NULL) abort();
  int running = 0;
  for (const struct dirent* task; (task = readdir(tasks)) != NULL;) {
    char path[300];
    char text[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", task->d_name);
    const int fd = task->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) continue;  // it has ended
    const ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) continue;
    text[size] = '\0';
    const char* name_end = strrchr(text, ')');
    running += name_end != NULL && strchr("RD", name_end[2]) != NULL ? 1 : 0;
  }
  closedir(tasks);
  return running;
}

// The time that the other threads have computed, ns.
static inline int64_t OthersCpuTime(void) {
  struct timespec all;
  struct timespec mine;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mine);
  return (int64_t)(all.tv_sec - mine.tv_sec) * 1000000000 + all.tv_nsec - mine.tv_nsec;
}

// Returns when all other threads wait: those that were about to do so, do. Where some compute all along it returns when
// they have done so for a while, however long the machine takes for that.
static inline void AwaitQuiet(void) {
  enum { kLooks = 3, kComputed = 20000000 };
  const struct timespec turn = {0, 300000};
  const int64_t before = OthersCpuTime();
  for (int looks = 0; looks < kLooks && OthersCpuTime() - before < kComputed;) {
    nanosleep(&turn, NULL);
    sched_yield();
    looks = RunningKernelThreads() == 1 ? looks + 1 : 0;
  }
}

#endif  // TEST_QUIET_H_
