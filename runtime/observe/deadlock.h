// SPDX-License-Identifier: Apache-2.0
// MN_DEADLOCK=1: ends a process whose threads all wait for each other.
#pragma once

#include <cstdint>

namespace mn {

// Looks when it is time to; returns when the next time is (kForever: never). CLOCK_MONOTONIC. On the observer.
int64_t deadlock_tick(int64_t now);

}  // namespace mn
