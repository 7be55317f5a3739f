// SPDX-License-Identifier: Apache-2.0
// For tests of what reads clocks: libc's functions are known before the first test begins.
#pragma once

#include "runtime/os/real.h"

inline const char* const kMissing = mn::real_load();
