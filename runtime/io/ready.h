// SPDX-License-Identifier: Apache-2.0
// Whether a descriptor is ready at this moment.
#pragma once

#include <poll.h>

#include "runtime/os/syscall.h"

namespace mn {

// The poll(2) events that are there, among `events` and those always reported; 0: none.
inline short ready_now(int fd, short events) {
  pollfd p{fd, events, 0};
  return raw_syscall(SYS_poll, sys_arg(&p), 1, 0) > 0 ? p.revents : short{0};
}

}  // namespace mn
