// SPDX-License-Identifier: Apache-2.0
// Threads and what they wait for, in words.
#pragma once

#include "runtime/base/text.h"
#include "runtime/sync/waitq.h"

namespace mn {

// "main thread", "thread 3", "kernel thread 4711" for those that libmn did not make. By G::tid, which is what locks
// know of their owner.
void describe_tid(uint32_t tid, Text* out);

// The same, and the name, if it has one.
void describe_thread(const G* g, Text* out);

// "mutex 0x1234 held by thread 3". The memory that it is about may be gone.
void describe_wait(const WaitRecord& wait, Text* out);

// "1.5 s", "20 ms".
void describe_time(int64_t ns, Text* out);

// "read", "poll", ... for those that threads usually sleep in, else "number 123".
void describe_system_call(long number, Text* out);

}  // namespace mn
