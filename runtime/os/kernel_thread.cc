// SPDX-License-Identifier: Apache-2.0
#include "runtime/os/kernel_thread.h"

#include <pthread.h>

#include "runtime/os/real.h"
#include "runtime/os/tcb.h"

namespace mn {

int create_kernel_thread(void* (*main)(void*), void* arg) {
  constexpr size_t kStack = 128 * 1024;
  pthread_attr_t attr;
  pthread_t thread;
  real.pthread_attr_init(&attr);
  real.pthread_attr_setstacksize(&attr, kStack + tcb_reserve());
  real.pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  int error = real.pthread_create(&thread, &attr, main, arg);
  real.pthread_attr_destroy(&attr);
  return error;
}

}  // namespace mn
