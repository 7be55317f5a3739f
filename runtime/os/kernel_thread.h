// SPDX-License-Identifier: Apache-2.0
// Kernel threads of the runtime's own. libc's pthread_create makes them, so that libc knows them; it takes libc's locks
// and malloc's.
#pragma once

namespace mn {

// Detached, with a small stack and the caller's signal mask. 0 or errno.
int create_kernel_thread(void* (*main)(void*), void* arg);

}  // namespace mn
