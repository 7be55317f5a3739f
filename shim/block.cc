// SPDX-License-Identifier: Apache-2.0
// Calls that block in the kernel and cannot be polled. Each is tried without blocking first where it can be; then the
// thread gives its P away and makes the call on its M (io/block.h).
#include "runtime/io/block.h"

#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>

#include "runtime/io/fd.h"
#include "runtime/os/syscall.h"
#include "runtime/thread/children.h"
#include "runtime/thread/kernel_state.h"
#include "shim/io.h"
#include "shim/shim.h"

using namespace mn;

namespace {

// `attempt` does not block; would_block(errno) tells that `call` would.
template <bool kCancellationPoint = true, class Attempt, class WouldBlock, class Call>
long try_or_block(Attempt attempt, WouldBlock would_block, Call call) {
  if (!scheduled()) return call();
  if constexpr (kCancellationPoint) cancellation_point();
  long result = attempt();
  if (result != -1 || !would_block(errno)) return result;
  return errno_of(blocking(call));
}

template <class Call>
long block(Call call) {
  return scheduled() ? errno_of(blocking(call)) : call();
}

bool again(int error) {
  return error == EAGAIN || error == EACCES;
}

// Signals of a file for one thread, by the number of its kernel thread: the caller keeps its own from now on.
f_owner_ex* owner_for_caller(f_owner_ex* owner, f_owner_ex* own) {
  if (owner == nullptr || owner->type != F_OWNER_TID || owner->pid == 0 || !names_caller(owner->pid)) return owner;
  keep_kernel_state(Kept::kBound);
  *own = {F_OWNER_TID, sys_gettid()};
  return own;
}

constexpr timespec kNoTime{};  // as an absolute time: long past

int lock_without_waiting(int command) {
  return command == F_SETLKW ? F_SETLK : F_OFD_SETLK;
}

}  // namespace

MN_SHIM int flock(int fd, int operation) {
  if (!on() || (operation & (LOCK_NB | LOCK_UN)) != 0) return real.flock(fd, operation);
  return static_cast<int>(try_or_block<false>([&] { return real.flock(fd, operation | LOCK_NB); }, again,
                                              [&] { return real.flock(fd, operation); }));
}
MN_SHIM int lockf(int fd, int command, off_t size) {
  if (!on() || command != F_LOCK) return real.lockf(fd, command, size);
  return static_cast<int>(try_or_block([&] { return real.lockf(fd, F_TLOCK, size); }, again,
                                       [&] { return real.lockf(fd, command, size); }));
}
MN_SHIM int fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  void* arg = va_arg(list, void*);
  va_end(list);
  bool act = on_here();  // decides, too: the table of real functions is filled
  f_owner_ex own;
  if (command == F_SETOWN_EX && act) arg = owner_for_caller(static_cast<f_owner_ex*>(arg), &own);
  if (command == F_SETFL && act) {
    int result = real.fcntl(fd, command, arg);
    fd_flags_changed();
    return result;
  }
  if (command != F_SETLKW && command != F_OFD_SETLKW) return real.fcntl(fd, command, arg);
  return static_cast<int>(try_or_block([&] { return real.fcntl(fd, lock_without_waiting(command), arg); }, again,
                                       [&] { return real.fcntl(fd, command, arg); }));
}

// The caller's own kernel thread need not be its any more, where the child was the last one's (thread/children.h).
static void reaped(pid_t child) {
  if (in_vfork_child() || !child_reaped(child)) return;
  int saved = errno;
  parent_may_move();
  errno = saved;
}

// No child has ended yet when WNOHANG says 0. `wait` is given the options and where to write the status.
template <class Wait>
static pid_t wait_child(int* status, int options, Wait wait) {
  if (!on()) return wait(options, status);
  int own = 0;
  int* into = status != nullptr ? status : &own;
  long pid = 0;
  if ((options & WNOHANG) != 0)
    pid = wait(options, into);
  else if (scheduled())
    pid = (cancellation_point(), wait(options | WNOHANG, into));
  if (pid == 0 && (options & WNOHANG) == 0) pid = block([&] { return wait(options, into); });
  if (pid > 0 && (WIFEXITED(*into) || WIFSIGNALED(*into))) reaped(static_cast<pid_t>(pid));
  return static_cast<pid_t>(pid);
}
MN_SHIM pid_t waitpid(pid_t pid, int* status, int options) {
  return wait_child(status, options, [=](int o, int* into) { return real.waitpid(pid, into, o); });
}
MN_SHIM pid_t wait4(pid_t pid, int* status, int options, rusage* usage) {
  return wait_child(status, options, [=](int o, int* into) { return real.wait4(pid, into, o, usage); });
}
MN_SHIM pid_t wait3(int* status, int options, rusage* usage) {
  return wait4(-1, status, options, usage);
}
MN_SHIM pid_t wait(int* status) {
  return waitpid(-1, status, 0);
}
static int wait_id(idtype_t type, id_t id, siginfo_t* info, int options) {
  if ((options & WNOHANG) != 0 || info == nullptr)
    return static_cast<int>(block([&] { return real.waitid(type, id, info, options); }));
  if (scheduled()) {
    cancellation_point();
    info->si_pid = 0;
    if (real.waitid(type, id, info, options | WNOHANG) != 0) return -1;
    if (info->si_pid != 0) return 0;
  }
  return static_cast<int>(block([&] { return real.waitid(type, id, info, options); }));
}
MN_SHIM int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  bool ours = on();
  int result = wait_id(type, id, info, options);
  if (!ours || result != 0 || info == nullptr || info->si_pid == 0 || (options & WNOWAIT) != 0) return result;
  int how = info->si_code;
  if (how == CLD_EXITED || how == CLD_KILLED || how == CLD_DUMPED) reaped(info->si_pid);
  return result;
}

MN_SHIM ssize_t msgrcv(int id, void* msg, size_t size, long type, int flags) {
  return try_or_block([&] { return real.msgrcv(id, msg, size, type, flags | IPC_NOWAIT); },
                      [&](int error) { return error == ENOMSG && (flags & IPC_NOWAIT) == 0; },
                      [&] { return real.msgrcv(id, msg, size, type, flags); });
}
MN_SHIM int msgsnd(int id, const void* msg, size_t size, int flags) {
  return static_cast<int>(try_or_block([&] { return real.msgsnd(id, msg, size, flags | IPC_NOWAIT); },
                                       [&](int error) { return error == EAGAIN && (flags & IPC_NOWAIT) == 0; },
                                       [&] { return real.msgsnd(id, msg, size, flags); }));
}
MN_SHIM int semtimedop(int id, sembuf* operations, size_t count, const timespec* timeout) {
  auto call = [&] { return real.semtimedop(id, operations, count, timeout); };
  if (!on() || count == 0 || count > 500) return call();  // SEMOPM; an error either way
  for (size_t i = 0; i < count; ++i)
    if ((operations[i].sem_flg & IPC_NOWAIT) != 0) return call();
  return static_cast<int>(
      try_or_block<false>([&] { return real.semtimedop(id, operations, count, &kNoTime); }, again, call));
}
MN_SHIM int semop(int id, sembuf* operations, size_t count) {
  return on() ? semtimedop(id, operations, count, nullptr) : real.semop(id, operations, count);
}

// libc declares their time as never null; the kernel takes none for no limit.
MN_NOINLINE static bool bad(const timespec* abstime) {
  return abstime != nullptr && !valid_timespec(*abstime);
}

static bool timed_out(int error) {
  return error == ETIMEDOUT;
}
MN_SHIM ssize_t mq_timedreceive(mqd_t queue, char* msg, size_t size, unsigned* priority, const timespec* abstime) {
  if (!on() || bad(abstime)) return real.mq_timedreceive(queue, msg, size, priority, abstime);
  return try_or_block([&] { return real.mq_timedreceive(queue, msg, size, priority, &kNoTime); }, timed_out,
                      [&] { return real.mq_timedreceive(queue, msg, size, priority, abstime); });
}
MN_SHIM ssize_t mq_receive(mqd_t queue, char* msg, size_t size, unsigned* priority) {
  return try_or_block([&] { return real.mq_timedreceive(queue, msg, size, priority, &kNoTime); }, timed_out,
                      [&] { return real.mq_receive(queue, msg, size, priority); });
}
MN_SHIM int mq_timedsend(mqd_t queue, const char* msg, size_t size, unsigned priority, const timespec* abstime) {
  if (!on() || bad(abstime)) return real.mq_timedsend(queue, msg, size, priority, abstime);
  return static_cast<int>(try_or_block([&] { return real.mq_timedsend(queue, msg, size, priority, &kNoTime); },
                                       timed_out,
                                       [&] { return real.mq_timedsend(queue, msg, size, priority, abstime); }));
}
MN_SHIM int mq_send(mqd_t queue, const char* msg, size_t size, unsigned priority) {
  return static_cast<int>(try_or_block([&] { return real.mq_timedsend(queue, msg, size, priority, &kNoTime); },
                                       timed_out, [&] { return real.mq_send(queue, msg, size, priority); }));
}

MN_SHIM int connect(int fd, const sockaddr* to, socklen_t size) {
  if (!scheduled() || fd_nonblocking(fd)) return real.connect(fd, to, size);
  return static_cast<int>(errno_of(blocking([&] { return real.connect(fd, to, size); })));
}
MN_SHIM int fsync(int fd) {
  return static_cast<int>(block([&] { return real.fsync(fd); }));
}
MN_SHIM int fdatasync(int fd) {
  return static_cast<int>(block([&] { return real.fdatasync(fd); }));
}
MN_SHIM int tcdrain(int fd) {
  return static_cast<int>(block([&] { return real.tcdrain(fd); }));
}

// Errors are not in errno; -1 is EAI_BADFLAGS.
MN_SHIM int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  if (!scheduled()) return real.getaddrinfo(node, service, hints, result);
  block_begin();
  int error = real.getaddrinfo(node, service, hints, result);
  block_end();
  return error;
}
MN_SHIM int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service,
                        socklen_t service_size, int flags) {
  if (!scheduled()) return real.getnameinfo(address, size, host, host_size, service, service_size, flags);
  block_begin();
  int error = real.getnameinfo(address, size, host, host_size, service, service_size, flags);
  block_end();
  return error;
}

MN_ALIAS(lockf64, lockf);
MN_ALIAS(fcntl64, fcntl);
MN_ALIAS(__fcntl, fcntl);
MN_ALIAS(__wait, wait);
MN_ALIAS(__waitpid, waitpid);
MN_ALIAS(__connect, connect);
