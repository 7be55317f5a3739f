// SPDX-License-Identifier: Apache-2.0
// libc's own functions, typed. The runtime calls every function that libmn also exports through this table and never by
// name: by name it would reach the shim, and so itself.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <type_traits>

extern "C" int arch_prctl(int code, unsigned long address);  // exported by libc, declared nowhere

namespace mn {

struct Real {
#define REAL(name) decltype(&::name) name;
#define PRIVATE(name, type) std::type_identity_t<type> name;
#include "runtime/os/real.def"
  // libc's itself. Another preloaded library that libmn stands before may tell the program another time (libfaketime).
  decltype(&::clock_gettime) libcs_clock_gettime;
};

extern Real real;

// Fills the table. Returns null, or the name of the first symbol that libc does not have. Allocates nothing while all
// symbols are found, so that it may run inside malloc's own initialisation.
const char* real_load();

}  // namespace mn
