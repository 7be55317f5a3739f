// SPDX-License-Identifier: Apache-2.0
// Names of threads.
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "runtime/io/confine.h"
#include "runtime/sched/sched.h"
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM int pthread_setname_np(pthread_t t, const char* name) {
  return on() ? thread_setname(t, name) : real.pthread_setname_np(t, name);
}
MN_SHIM int pthread_getname_np(pthread_t t, char* buf, size_t size) {
  return on() ? thread_getname(t, buf, size) : real.pthread_getname_np(t, buf, size);
}

MN_SHIM int prctl(int option, ...) {
  va_list list;
  va_start(list, option);
  unsigned long arguments[4];
  for (unsigned long& argument : arguments) argument = va_arg(list, unsigned long);
  va_end(list);
  bool act = on();  // decides, too: the table of real functions is filled
  // A child of vfork is a process of its own.
  if ((option == PR_SET_NAME || option == PR_GET_NAME) && act && !self_g()->vforked) {
    char* name = reinterpret_cast<char*>(arguments[0]);
    return errno_result(option == PR_SET_NAME ? thread_set_own_name(name) : thread_get_own_name(name));
  }
  if (option == PR_SET_SECCOMP && arguments[0] == SECCOMP_MODE_FILTER && act && !self_g()->vforked)
    confine_by(reinterpret_cast<const sock_fprog*>(arguments[1]));
  return real.prctl(option, arguments[0], arguments[1], arguments[2], arguments[3]);
}
