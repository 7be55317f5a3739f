// SPDX-License-Identifier: Apache-2.0
// The lines of MN_SCHEDTRACE.
#pragma once

#include <cstdint>

namespace mn {

// Prints a line when one is due; returns when the next is (kForever: never). CLOCK_MONOTONIC.
int64_t schedtrace_tick(int64_t now);

}  // namespace mn
