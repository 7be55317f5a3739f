// SPDX-License-Identifier: Apache-2.0
// Processes.
#include <grp.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

static void Fork(Function function) {
  const pid_t child = CALL_QUIET(fork);
  CHECK(child != -1);
  if (child == 0) _exit(5);
  SAY_CALLED(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
static void ForkAndUseThreads(Function function) {
  const pid_t child = CALL_QUIET(fork);
  CHECK(child != -1);
  if (child == 0) {
    pthread_t thread;
    void* result = NULL;
    if (pthread_create(&thread, NULL, Echo, (void*)8) != 0) _exit(1);
    if (pthread_join(thread, &result) != 0) _exit(2);
    _exit((int)(long)result);
  }
  SAY_CALLED(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 8);
}
// Its child goes on without a terminal, and says so by its own exit; the caller is that child.
static void Daemon(Function function) {
  const pid_t child = fork();
  CHECK(child != -1);
  if (child == 0) _exit(CALL_QUIET(daemon, 1, 1) == 0 ? 0 : 6);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
static void ForkPty(Function function) {
  int master = -1;
  const pid_t child = CALL_QUIET(forkpty, &master, NULL, NULL, NULL);
  if (child == -1) return;  // no pseudo-terminals here
  if (child == 0) _exit(5);
  SAY_CALLED(child > 0);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
  close(master);
}
static char g_nowhere[] = "/nowhere";
static char* const kNoArguments[] = {g_nowhere, NULL};
static void Execute(Function function) {
  CHECK(CALL(execve, g_nowhere, kNoArguments, kNoArguments) == -1 && errno == ENOENT);
}
static void ExecuteV(Function function) {
  CHECK(CALL(execv, g_nowhere, kNoArguments) == -1 && errno == ENOENT);
}
static void ExecuteEnvironment(Function function) {
  CHECK(CALL(execvpe, g_nowhere, kNoArguments, kNoArguments) == -1 && errno == ENOENT);
}
static void ExecuteL(Function function) {
  CHECK(CALL(execl, g_nowhere, "x", NULL) == -1 && errno == ENOENT);
}
static void ExecuteLe(Function function) {
  CHECK(CALL(execle, g_nowhere, "x", NULL, kNoArguments) == -1 && errno == ENOENT);
}
static void ExecuteFile(Function function) {
  CHECK(CALL(fexecve, -1, kNoArguments, kNoArguments) == -1);
}
static void ExecuteAt(Function function) {
  CHECK(CALL(execveat, -1, g_nowhere, kNoArguments, kNoArguments, 0) == -1 && errno == ENOENT);
}
static int prepared, after;
static void Prepare(void) {
  ++prepared;
}
static void After(void) {
  ++after;
}
static void ForkWithHandlers(void) {
  const pid_t child = fork();
  CHECK(child != -1);
  if (child == 0) _exit(prepared == 1 && after == 1 ? 5 : 6);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
  CHECK(prepared == 1 && after == 1);
}
static void RegisterAtFork(Function function) {
  CHECK(CALL_AS((int (*)(void (*)(void), void (*)(void), void (*)(void), void*))function, Prepare, After, After,
                NULL) == 0);
  ForkWithHandlers();
}
static void AtFork(Function function) {
  CHECK(CALL_AS((int (*)(void (*)(void), void (*)(void), void (*)(void)))function, Prepare, After, After) == 0);
  ForkWithHandlers();
}
static void Vfork(Function function) {
  const pid_t child = CALL_QUIET(vfork);
  if (child == 0) _exit(5);
  SAY_CALLED(child > 0);
  CHECK(child != -1);
  const int status = WaitForStatus(child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}
// To what they are, and as nobody would have them.
static void SetId(Function function) {
  CHECK(CALL_AS((int (*)(unsigned))function, getuid()) == 0);
}
static void SetTwoIds(Function function) {
  CHECK(CALL_AS((int (*)(unsigned, unsigned))function, (unsigned)-1, (unsigned)-1) == 0);
}
static void SetThreeIds(Function function) {
  CHECK(CALL_AS((int (*)(unsigned, unsigned, unsigned))function, (unsigned)-1, (unsigned)-1, (unsigned)-1) == 0);
}
static void SetGroups(Function function) {
  CHECK(CALL(setgroups, (size_t)-1, NULL) == -1 && (errno == EINVAL || errno == EPERM));
}
static void InitGroups(Function function) {
  CHECK(CALL(initgroups, "root", 0) == 0 || errno == EPERM);
}
static void SetFileUser(Function function) {
  CHECK(CALL(setfsuid, (uid_t)-1) == (int)geteuid());
  CHECK(CALL(setfsuid, (uid_t)-1) == (int)geteuid());
}
static void Unshare(Function function) {
  CHECK(CALL(unshare, 0) == 0);
}
static void SetNamespace(Function function) {
  CHECK(CALL(setns, -1, 0) == -1 && errno == EBADF);
}
static void ExitNow(Function function) {
  CALL_VOID(_exit, 0);
}
static void ExitProcess(Function function) {
  CALL_VOID(exit, 0);
}
static const struct Case kCases[] = {
    DECLARED(fork, Fork),
    {"fork:threads", ForkAndUseThreads, (Function)fork},
    BY_NAME(__fork, ForkAndUseThreads),
    BY_NAME(__libc_fork, ForkAndUseThreads),
    DECLARED(_Fork, Fork),
    DECLARED(daemon, Daemon),
    DECLARED(execve, Execute),
    DECLARED(execv, ExecuteV),
    DECLARED(execvp, ExecuteV),
    DECLARED(execvpe, ExecuteEnvironment),
    DECLARED(execl, ExecuteL),
    DECLARED(execlp, ExecuteL),
    DECLARED(execle, ExecuteLe),
    DECLARED(fexecve, ExecuteFile),
    DECLARED(execveat, ExecuteAt),
    DECLARED(forkpty, ForkPty),
    BY_NAME(__register_atfork, RegisterAtFork),
    BY_NAME(pthread_atfork, AtFork),
    DECLARED(vfork, Vfork),
    BY_NAME(__vfork, Vfork),
    DECLARED(setuid, SetId),
    DECLARED(seteuid, SetId),
    DECLARED(setgid, SetId),
    DECLARED(setegid, SetId),
    DECLARED(setreuid, SetTwoIds),
    DECLARED(setregid, SetTwoIds),
    DECLARED(setresuid, SetThreeIds),
    DECLARED(setresgid, SetThreeIds),
    DECLARED(setgroups, SetGroups),
    DECLARED(initgroups, InitGroups),
    DECLARED(setfsuid, SetFileUser),
    DECLARED(setfsgid, SetFileUser),
    DECLARED(unshare, Unshare),
    DECLARED(setns, SetNamespace),
    DECLARED(_exit, ExitNow),
    DECLARED(_Exit, ExitNow),
    DECLARED(exit, ExitProcess),
    DECLARED(quick_exit, ExitProcess),
};

const struct Family kProcessFamily = FAMILY(kCases);
