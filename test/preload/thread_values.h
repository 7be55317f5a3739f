// SPDX-License-Identifier: Apache-2.0
// Threads that give back what they were given.
#ifndef TEST_PRELOAD_THREAD_VALUES_H_
#define TEST_PRELOAD_THREAD_VALUES_H_

#include "util.h"

namespace test {

inline void* Echo(void* argument) {
  return argument;
}

inline void* Tag(uintptr_t value) {
  return reinterpret_cast<void*>(value);
}

}  // namespace test

#endif  // TEST_PRELOAD_THREAD_VALUES_H_
