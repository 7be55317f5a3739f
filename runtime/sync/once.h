// SPDX-License-Identifier: Apache-2.0
// pthread_once in glibc's word: 0 not run, bit 0 running (with the fork generation above, so that a child sees that the
// runner did not come along), 2 done.
#pragma once

#include <pthread.h>

namespace mn {

void once(pthread_once_t* control, void (*init)());
void once_reset_after_fork();

}  // namespace mn
