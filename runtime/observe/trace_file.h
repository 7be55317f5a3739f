// SPDX-License-Identifier: Apache-2.0
// The file of MN_TRACE: the JSON Array Format of the "Trace Event Format" document, which chrome://tracing and Perfetto
// read. All but trace_start() on the observer.
#pragma once

#include <cstdint>

namespace mn {

// Begins to record; before a second thread runs, and again in a forked child.
void trace_start();
// Makes the file: the observer's descriptors are its own, so the program cannot close it.
void trace_open();
// Writes what has been recorded when it is time to; returns when the next time is (kForever: never). CLOCK_MONOTONIC.
int64_t trace_tick(int64_t now);
// Writes the rest. A trace that ends without it (a process that is killed) lacks its last line, which both readers
// allow.
void trace_close();

}  // namespace mn
