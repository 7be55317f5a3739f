// SPDX-License-Identifier: Apache-2.0
// Whether libmn acts in this process. Decided once, on the first call into libmn, which may come before its constructor
// (from another library's, or from a malloc that is being initialised).
#pragma once

#include <atomic>

#include "runtime/base/check.h"

namespace mn {

enum class Mode : unsigned char {
  kUndecided,
  kPassThrough,  // every call goes to libc
  kOn,
};

extern std::atomic<Mode> mode;
bool decide();

// True: the runtime serves the call.
MN_INLINE bool on() {
  Mode m = mode.load(std::memory_order_relaxed);
  if (MN_LIKELY(m == Mode::kOn)) return true;
  return m == Mode::kUndecided && decide();
}

}  // namespace mn
