// SPDX-License-Identifier: Apache-2.0
// The observer: a kernel thread of the runtime's own that prints. observer.cc says why it exists and when.
#pragma once

namespace mn {

// At start: what the options ask for is prepared. `observe_prepare` needs a process in which dlopen works: it comes
// from libmn's constructor.
void observe_init();
void observe_prepare();

// What is to be said at the end of the process, however it comes about.
void observe_at_exit();

}  // namespace mn
