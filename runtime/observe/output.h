// SPDX-License-Identifier: Apache-2.0
// Where observers write: the program's standard error, or a pipe that another process reads, by raw system calls.
#pragma once

#include <cstdint>

#include "runtime/base/text.h"

namespace mn {

// Keeps stderr open for the rest of the process: programs close it before they end (xz does).
void output_keep();

// Gives the calling kernel thread a descriptor table of its own, of which only this one is left: what observers open
// must never appear as descriptors of the program.
void output_only();

// Until output_to_stderr() the calling thread's lines go to what `path` is. False: it is no pipe that can be opened,
// and nothing has changed. One thread at a time.
bool output_to_pipe(const char* path);
void output_to_stderr();
// Nobody reads the pipe any more; what is written is lost.
bool output_lost();

// Writes all of it, waiting where stderr is a pipe that is full. A reader that has gone costs no SIGPIPE: the caller
// blocks it, or dies with the program.
void output(const Text& line);
// How often that was called.
uint64_t output_lines();

}  // namespace mn
