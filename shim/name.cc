// SPDX-License-Identifier: Apache-2.0
// Names of threads.
#include "runtime/thread/thread.h"
#include "shim/shim.h"

using namespace mn;

MN_SHIM int pthread_setname_np(pthread_t t, const char* name) {
  return on_here() ? thread_setname(t, name) : real.pthread_setname_np(t, name);
}
MN_SHIM int pthread_getname_np(pthread_t t, char* buf, size_t size) {
  return on_here() ? thread_getname(t, buf, size) : real.pthread_getname_np(t, buf, size);
}
